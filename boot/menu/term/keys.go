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
	switch key := ev.Key(); key {
	case tcell.KeyRune:
		k.Key, k.Rune = menu.KeyRune, ev.Rune()
	case tcell.KeyEnter:
		k.Key = menu.KeyEnter
	case tcell.KeyCtrlJ: // what scripts send for Enter
		k.Key, k.Mod = menu.KeyEnter, 0
	case tcell.KeyEsc:
		k.Key = menu.KeyEsc
	case tcell.KeyTab:
		k.Key = menu.KeyTab
	case tcell.KeyBackspace, tcell.KeyBackspace2:
		k.Key, k.Mod = menu.KeyBackspace, 0
	case tcell.KeyDelete:
		k.Key = menu.KeyDelete
	case tcell.KeyUp:
		k.Key = menu.KeyUp
	case tcell.KeyDown:
		k.Key = menu.KeyDown
	case tcell.KeyLeft:
		k.Key = menu.KeyLeft
	case tcell.KeyRight:
		k.Key = menu.KeyRight
	case tcell.KeyHome:
		k.Key = menu.KeyHome
	case tcell.KeyEnd:
		k.Key = menu.KeyEnd
	case tcell.KeyPgUp:
		k.Key = menu.KeyPgUp
	case tcell.KeyPgDn:
		k.Key = menu.KeyPgDn
	case tcell.KeyF1:
		k.Key = menu.KeyF1
	case tcell.KeyF2:
		k.Key = menu.KeyF2
	case tcell.KeyF10:
		k.Key = menu.KeyF10
	case tcell.KeyCtrlUnderscore:
		k.Key, k.Rune, k.Mod = menu.KeyRune, '_', menu.ModCtrl
	default:
		if key >= tcell.KeyCtrlA && key <= tcell.KeyCtrlZ {
			k.Key, k.Rune = menu.KeyRune, 'a'+rune(key-tcell.KeyCtrlA)
			k.Mod |= menu.ModCtrl
		}
	}
	return k
}
