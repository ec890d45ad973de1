package menu

// command is what a key asks for.
type command uint8

const (
	cmdNone command = iota
	cmdUp
	cmdDown
	cmdPgUp
	cmdPgDn
	cmdFirst
	cmdLast
	cmdJump
	cmdBoot
	cmdTry
	cmdEdit
	cmdDetails
	cmdFilter
	cmdLog
	cmdRescan
	cmdShell
	cmdPower
	cmdOpen
	cmdClose
	cmdHelp
	cmdBack
	cmdReboot
	cmdPowerOff
	cmdLeft
	cmdRight
	cmdWordLeft
	cmdWordRight
	cmdHome
	cmdEnd
	cmdBackspace
	cmdDelete
	cmdKillWord
	cmdKillStart
	cmdKillEnd
	cmdYank
	cmdUndo
	cmdOriginal
	cmdHandOn
	cmdComplete
	cmdAdditions
	cmdToggle
	cmdSystem
	cmdDefault
	cmdAlways
	cmdOnce
	cmdForget
	cmdKeymap
	cmdSearch
	cmdLevel
	cmdSave
	cmdFirmware
	cmdAgain
)

// needsItem tells whether c does nothing in an empty list.
func (c command) needsItem() bool {
	return c == cmdBoot || c == cmdDetails || c == cmdFilter || c.needsEntry()
}

// needsEntry tells whether c does nothing with an item that is no entry.
func (c command) needsEntry() bool { return c == cmdEdit || c == cmdDefault }

// chord is a key with its modifiers.
type chord struct {
	key  Key
	rune rune
	mod  Mod
}

func on(k Key) chord       { return chord{key: k} }
func typed(r rune) chord   { return chord{key: KeyRune, rune: r} }
func ctrl(r rune) chord    { return chord{key: KeyRune, rune: r, mod: ModCtrl} }
func alt(r rune) chord     { return chord{key: KeyRune, rune: r, mod: ModAlt} }
func ctrlKey(k Key) chord  { return chord{key: k, mod: ModCtrl} }
func (k KeyMsg) is() chord { return chord{k.Key, k.Rune, k.Mod} }

// action is one chord and what it asks for.
type action struct {
	chord chord
	do    command
}

// binding is a line of the table of keys, from which come what keys do, the
// footer, the help screen and the documentation.
type binding struct {
	keys string // how they are written, the most usual one first
	foot string // the word in the footer; "" when it is not there
	help string // what it does
	do   []action
}

func one(c command, chords ...chord) []action {
	var as []action
	for _, ch := range chords {
		as = append(as, action{ch, c})
	}
	return as
}

// The footer is filled in the order of the table, as far as there is room, but
// always ends with the key for help. No screen binds the right arrow to
// anything that boots: in the list it opens a fold, and Esc never loses anything.

func listKeys() []binding {
	return []binding{
		{keyEnter, footBoot, helpBoot, one(cmdBoot, on(KeyEnter))},
		{"e", footEdit, helpEdit, one(cmdEdit, typed('e'))},
		{"s", footShell, helpShell, one(cmdShell, typed('s'))},
		{"p", footPower, helpPower, one(cmdPower, typed('p'))},
		{"i", footDetails, helpDetails, one(cmdDetails, typed('i'))},
		{"r", footRescan, helpRescan, one(cmdRescan, typed('r'))},
		{"/", footFilter, helpFilter, one(cmdFilter, typed('/'))},
		{"l", footLog, helpLog, one(cmdLog, typed('l'))},
		{"d", footDefault, helpDefault, one(cmdDefault, typed('d'))},
		{"m", footSystem, helpSystem, one(cmdSystem, typed('m'))},
		{"K", footKeymap, helpKeymap, one(cmdKeymap, typed('K'))},
		{keyUp, "", helpUp, one(cmdUp, on(KeyUp), typed('k'), ctrl('p'))},
		{keyDown, "", helpDown, one(cmdDown, on(KeyDown), typed('j'), ctrl('n'))},
		{keyPgUp, "", helpPgUp, one(cmdPgUp, on(KeyPgUp))},
		{keyPgDnList, "", helpPgDn, one(cmdPgDn, on(KeyPgDn))},
		{keyFirst, "", helpFirst, one(cmdFirst, on(KeyHome), typed('g'))},
		{keyLast, "", helpLast, one(cmdLast, on(KeyEnd), typed('G'))},
		{keyJump, "", helpJump, one(cmdJump, digits()...)},
		{keyOpen, "", helpOpen, one(cmdOpen, typed('+'), on(KeyRight))},
		{keyClose, "", helpClose, one(cmdClose, typed('-'), on(KeyLeft))},
		{keyEsc, "", helpEsc, one(cmdBack, on(KeyEsc), ctrl('c'))},
		helpBinding(),
	}
}

func helpBinding() binding {
	return binding{keyHelp, footHelp, helpHelp, one(cmdHelp, typed('?'), typed('h'), on(KeyF1))}
}

func textKeys() []binding {
	return []binding{
		backBinding(),
		{keyUp, "", helpLineUp, one(cmdUp, on(KeyUp), typed('k'), ctrl('p'))},
		{keyDown, "", helpLineDown, one(cmdDown, on(KeyDown), typed('j'), ctrl('n'))},
		{keyPgUp, "", helpPgUp, one(cmdPgUp, on(KeyPgUp))},
		{keyPgDn, "", helpPgDn, one(cmdPgDn, on(KeyPgDn), typed(' '))},
		{keyFirst, "", helpTop, one(cmdFirst, on(KeyHome), typed('g'))},
		{keyLast, "", helpBottom, one(cmdLast, on(KeyEnd), typed('G'))},
	}
}

func detailsKeys() []binding {
	return append(textKeys(), binding{"e", footEdit, helpEdit, one(cmdEdit, typed('e'))})
}

func reasonKeys() []binding {
	return append(detailsKeys(), binding{"t", footTry, helpTry, one(cmdTry, typed('t'))})
}

func editorKeys() []binding {
	return []binding{
		{keyEditBoot, footBoot, helpBootEdited, one(cmdBoot, on(KeyEnter), ctrl('x'), on(KeyF10))},
		{keyEsc, footBack, helpEditBack, one(cmdBack, on(KeyEsc), ctrl('c'))},
		{keyAdditions, footAdditions, helpAdditions, one(cmdAdditions, on(KeyF2), ctrl('o'))},
		{keyTab, footComplete, helpComplete, one(cmdComplete, on(KeyTab))},
		{keyOriginal, footOriginal, helpOriginal, one(cmdOriginal, ctrl('r'))},
		{keyUndo, footUndo, helpUndo, one(cmdUndo, ctrl('z'), ctrl('_'))},
		{keyLeftRight, "", helpLeft, append(one(cmdLeft, on(KeyLeft), ctrl('b')), one(cmdRight, on(KeyRight), ctrl('f'))...)},
		{keyWords, "", helpWord, append(one(cmdWordLeft, ctrlKey(KeyLeft), alt('b')), one(cmdWordRight, ctrlKey(KeyRight), alt('f'))...)},
		{keyLines, "", helpFieldMove, append(one(cmdUp, on(KeyUp), ctrl('p')), one(cmdDown, on(KeyDown), ctrl('n'))...)},
		{keyHome, "", helpHome, one(cmdHome, on(KeyHome), ctrl('a'))},
		{keyEnd, "", helpEnd, one(cmdEnd, on(KeyEnd), ctrl('e'))},
		{keyBackspace, "", helpBackspace, one(cmdBackspace, on(KeyBackspace), ctrl('h'))},
		{keyDelete, "", helpDelete, one(cmdDelete, on(KeyDelete), ctrl('d'))},
		{keyKillWord, "", helpKillWord, one(cmdKillWord, ctrl('w'))},
		{keyKillStart, "", helpKillStart, one(cmdKillStart, ctrl('u'))},
		{keyKillEnd, "", helpKillEnd, one(cmdKillEnd, ctrl('k'))},
		{keyYank, "", helpYank, one(cmdYank, ctrl('y'))},
	}
}

func addKeys() []binding {
	return []binding{
		{keyPick, footToggle, helpToggle, append(one(cmdToggle, on(KeyEnter), typed(' ')), one(cmdJump, digits()...)...)},
		{keyBack, footBack, helpAddBack, one(cmdBack, on(KeyEsc), typed('q'), ctrl('c'))},
		{keyLines, "", helpLineMove, append(one(cmdUp, on(KeyUp), typed('k'), ctrl('p')), one(cmdDown, on(KeyDown), typed('j'), ctrl('n'))...)},
	}
}

func digits() []chord {
	var cs []chord
	for r := '1'; r <= '9'; r++ {
		cs = append(cs, typed(r))
	}
	return cs
}

func filterKeys() []binding {
	return []binding{
		{keyEnter, footKeep, helpKeep, one(cmdBoot, on(KeyEnter))},
		{keyEsc, footAll, helpAll, one(cmdBack, on(KeyEsc), ctrl('c'))},
		lineBinding(),
		{keyBackspace, "", helpBackspace, one(cmdBackspace, on(KeyBackspace), ctrl('h'))},
		{keyKillWord, "", helpKillWord, one(cmdKillWord, ctrl('w'))},
		{keyKillStart, "", helpKillStart, one(cmdKillStart, ctrl('u'))},
	}
}

// unlockKeys are only the way back while a passphrase is tried.
func unlockKeys(busy bool) []binding {
	back := binding{keyEsc, footBack, helpBack, one(cmdBack, on(KeyEsc), ctrl('c'))}
	if busy {
		return []binding{back}
	}
	return []binding{
		{keyEnter, footOpen, helpUnlock, one(cmdBoot, on(KeyEnter))},
		back,
		{keyTab, footHandOn, helpHandOn, one(cmdHandOn, on(KeyTab))},
		{keyKillStart, footClear, helpClear, one(cmdKillStart, ctrl('u'))},
		{keyBackspace, "", helpBackspace, one(cmdBackspace, on(KeyBackspace), ctrl('h'))},
	}
}

// powerKeys are those that make sense on the machine of c.
func powerKeys(c Config) []binding {
	bs := []binding{
		{"r", footReboot, helpReboot, one(cmdReboot, typed('r'))},
		{"o", footPowerOff, helpOff, one(cmdPowerOff, typed('o'))},
	}
	if c.Firmware {
		bs = append(bs, binding{"f", footFirmware, helpFirmware, one(cmdFirmware, typed('f'))})
	}
	if c.Relaunch {
		bs = append(bs, binding{"a", footAgain, helpAgain, one(cmdAgain, typed('a'))})
	}
	return append(bs, backBinding())
}

func backBinding() binding {
	return binding{keyBack, footBack, helpBack, one(cmdBack, on(KeyEsc), typed('q'), ctrl('c'))}
}

func defaultKeys() []binding {
	return []binding{
		{"d", footAlways, helpAlways, one(cmdAlways, typed('d'))},
		{"o", footOnce, helpOnce, one(cmdOnce, typed('o'))},
		{"f", footForget, helpForget, one(cmdForget, typed('f'))},
		backBinding(),
	}
}

func logKeys() []binding {
	return append(textKeys(),
		binding{"/", footSearch, helpSearch, one(cmdSearch, typed('/'))},
		binding{"v", footLevel, helpLevel, one(cmdLevel, typed('v'))},
		binding{"w", footSave, helpSave, one(cmdSave, typed('w'))},
	)
}

// pickKeys leave the letters to what is typed.
func pickKeys() []binding {
	return []binding{
		{keyEnter, footPick, helpPick, one(cmdBoot, on(KeyEnter))},
		{keyEsc, footBack, helpPickBack, one(cmdBack, on(KeyEsc), ctrl('c'))},
		lineBinding(),
	}
}

func lineBinding() binding {
	return binding{keyLines, "", helpLineMove, append(one(cmdUp, on(KeyUp), ctrl('p')), one(cmdDown, on(KeyDown), ctrl('n'))...)}
}

// find gives what k asks for, cmdNone when it is bound to nothing.
func find(bs []binding, k KeyMsg) command {
	for _, b := range bs {
		for _, a := range b.do {
			if a.chord == k.is() {
				return a.do
			}
		}
	}
	return cmdNone
}

// KeyHelp is a line of the documentation of keys.
type KeyHelp struct {
	Screen string // where they work
	Keys   string // as they are written, separated by spaces
	Help   string // what they do
}

// Keys gives every key that the menu knows, from the table that the footer and
// the help screen are made from.
func Keys() []KeyHelp {
	var ks []KeyHelp
	for _, s := range []struct {
		name     string
		bindings []binding
	}{
		{wordHelpList, listKeys()},
		{wordHelpFilter, filterKeys()},
		{wordHelpEditor, editorKeys()},
		{wordHelpAdd, addKeys()},
		{wordHelpText, reasonKeys()},
		{wordHelpUnlock, unlockKeys(false)},
		{wordHelpLog, logKeys()[len(textKeys()):]},
		{wordHelpPick, pickKeys()},
		{wordHelpMakeDefault, defaultKeys()},
		{wordHelpPower, powerKeys(Config{Firmware: true, Relaunch: true})},
		{wordAllKeys, []binding{{keys: keyRedraw, help: helpRedraw}}},
	} {
		for _, b := range s.bindings {
			ks = append(ks, KeyHelp{s.name, b.keys, b.help})
		}
	}
	return ks
}
