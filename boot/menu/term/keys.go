package term

import (
	"github.com/alpboot/alpboot/boot/menu"
	"github.com/gdamore/tcell/v2"
)

// translate returns the key of the menu for one of tcell's.
func translate(ev *tcell.EventKey) menu.KeyMsg {
	k := menu.KeyMsg{Key: menu.KeyOther}
	if ev.Modifiers()&tcell.ModCtrl != 0 {
		k.Mod |= menu.ModCtrl
	}
	if ev.Modifiers()&tcell.ModAlt != 0 {
		k.Mod |= menu.ModAlt
	}
	named := map[tcell.Key]menu.Key{
		tcell.KeyEnter: menu.KeyEnter, tcell.KeyEsc: menu.KeyEsc, tcell.KeyTab: menu.KeyTab, tcell.KeyDelete: menu.KeyDelete,
		tcell.KeyUp: menu.KeyUp, tcell.KeyDown: menu.KeyDown, tcell.KeyLeft: menu.KeyLeft, tcell.KeyRight: menu.KeyRight,
		tcell.KeyHome: menu.KeyHome, tcell.KeyEnd: menu.KeyEnd, tcell.KeyPgUp: menu.KeyPgUp, tcell.KeyPgDn: menu.KeyPgDn,
		tcell.KeyF1: menu.KeyF1, tcell.KeyF2: menu.KeyF2, tcell.KeyF10: menu.KeyF10,
	}
	switch key := ev.Key(); {
	case key == tcell.KeyRune:
		k.Key, k.Rune = menu.KeyRune, ev.Rune()
	case key == tcell.KeyCtrlJ: // what scripts send for Enter
		k.Key, k.Mod = menu.KeyEnter, 0
	case key == tcell.KeyBackspace, key == tcell.KeyBackspace2:
		k.Key, k.Mod = menu.KeyBackspace, 0
	case key == tcell.KeyCtrlUnderscore:
		k.Key, k.Rune, k.Mod = menu.KeyRune, '_', menu.ModCtrl
	case named[key] != 0:
		k.Key = named[key]
	case key >= tcell.KeyCtrlA && key <= tcell.KeyCtrlZ:
		k.Key, k.Rune = menu.KeyRune, 'a'+rune(key-tcell.KeyCtrlA)
		k.Mod |= menu.ModCtrl
	}
	return k
}
