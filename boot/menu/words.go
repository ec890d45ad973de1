package menu

// Every word that the menu itself puts on the screen stands in this file, so
// that it can be translated. Verbs of package fmt stand for what is filled in.

// In the header and the list.
const (
	wordName         = "alpboot"
	wordEntry        = "%d entry"
	wordEntries      = "%d entries"
	wordNote         = "%d note (l)"
	wordNotes        = "%d notes (l)"
	wordLookingAt    = "looking at %s"
	wordBusy         = "%s: still being looked at ..."
	wordBusyFor      = "%s: still being looked at for %d s ..."
	wordUnknownPlace = "found on an unnamed volume"
	wordTooSmall     = "%s: %dx%d is too small"
	wordMore         = "and %d more"
	wordUntitled     = "(no title)"
	wordFold         = "%s (%d)"
	wordSnapshots    = "Snapshots"
	wordLocked       = "encrypted"
	wordIsLocked     = "%s is encrypted: Enter opens it"
	wordAllNotices   = "%s (%d warnings, see l)"
)

// Marks behind the entries, and their one letter form for narrow consoles,
// which help explains.
const (
	wordDefault = "default"
	wordLast    = "last"
	wordGuessed = "guessed"
	wordCannot  = "cannot boot"
	wordFailed  = "failed"

	markDefault = '*'
	markLast    = '<'
	markGuessed = '?'
	markCannot  = 'x'
	markFailed  = '!'

	wordMarks       = "Marks behind an entry"
	wordHelpDefault = "is booted when nobody types"
	wordHelpLast    = "was booted last time"
	wordHelpGuessed = "no configuration gave its command line: check it with e"
	wordHelpCannot  = "something is missing; Enter says what"
	wordHelpFailed  = "was tried and did not boot; Enter tries again"
)

// When there is nothing to choose from.
const (
	wordLooking       = "Looking for something to boot ..."
	wordLookingMore   = "Looking at %s."
	wordWaiting       = "Waiting for disks to appear."
	wordNoDisk        = "No disk was found."
	wordNoDiskHelp    = "Check that the disk is plugged in and that this kernel has its driver. r looks again, s opens a shell, p restarts or switches off."
	wordNoEntry       = "Nothing that can be booted was found on %s."
	wordNoEntryHelp   = "A volume needs a boot configuration or a kernel in /boot. l tells what was found, r looks again, s opens a shell."
	wordNoMatch       = "No entry matches \"%s\"."
	wordNoMatchHelp   = "Esc shows all of them again."
	wordOneVolume     = "1 volume: %s"
	wordVolumes       = "%d volumes: %s"
	wordNothingChosen = "Nothing is selected."
)

// In the line of messages.
const (
	wordCountdown   = "Booting in %d s: "
	wordAnyKey      = "Any key stops."
	wordBooting     = "Booting %s ..."
	wordBusyBooting = "Another entry is being booted already."
	wordBootFailed  = "%s did not boot: %s"
	wordDidNot      = "%s did not boot. i tells why."
	wordNoKernel    = "%s cannot be booted: it has no kernel."
	wordBadDefault  = "The default, %s, cannot be booted, so nothing is booted by itself."
	wordGone        = "%s is gone. Now %s is selected; Enter again boots it."
	wordItemBefore  = "What was selected"
	wordRescan      = "Looking at all disks again ..."
	wordShell       = "Back from the shell."
	wordShellFailed = "The shell ended: %s"
	wordTooLong     = "The command line has %d bytes, but the kernel takes only %d. Shorten it."
	wordDraft       = "This is your edit from before. Ctrl-R brings the original back."
	wordFilter      = "Filter: "
	wordFiltered    = "Only entries with \"%s\" are shown. Esc shows all."
)

// While a passphrase is asked for, and while something is being loaded.
const (
	wordPrompt         = "Passphrase of %s"
	wordTypeHidden     = "Type the passphrase and press Enter. Nothing of it is shown, not even its length."
	wordHandOn         = "Hand it on to the system that is booted, so that it does not ask again (Tab)"
	wordOpening        = "Opening %s ... This may take some seconds."
	wordWrong          = "This passphrase does not open %s. Tries left: %d."
	wordNoMoreTries    = "%d passphrases were wrong: %s stays closed. Enter asks again."
	wordNoPassphrase   = "No passphrase was typed yet."
	wordLongPassphrase = "A passphrase has at most %d bytes; this is not part of it any more."
	wordBusyOpening    = "%s is still being opened."
	wordOpened         = "%s is open. Looking for entries on it ..."
	wordOpenedShows    = "%s is open: %s is selected."

	wordTicked   = "[x] %s"
	wordUnticked = "[ ] %s"

	wordCancelling = "Stopping ..."
	wordCancelled  = "Stopped. Nothing was booted."
	wordOf         = "%s of %s"
	wordB          = "%d bytes"
	wordKB         = "%d kB"
	wordMB         = "%d MB"
	wordHidden     = "Any key shows the menu."
)

// Labels of what is told about an entry.
const (
	wordCannotBoot  = "Cannot boot"
	wordDidNotBoot  = "Failed"
	wordTitleLabel  = "Title"
	wordVersion     = "Version"
	wordVolume      = "Volume"
	wordFrom        = "From"
	wordKernel      = "Kernel"
	wordInitrd      = "Initrd"
	wordCmdline     = "Cmdline"
	wordNoteLabel   = "Note"
	wordTimeout     = "Timeout"
	wordIdentity    = "ID"
	wordNone        = "none"
	wordMissing     = "missing"
	wordForEver     = "waits for ever"
	wordUUID        = "UUID"
	wordFilesystem  = "Filesystem"
	wordLabel       = "Label"
	wordPartUUID    = "PARTUUID"
	wordPartLabel   = "Partition"
	wordSubmenu     = "Submenu"
	wordStateLabel  = "State"
	wordLockedLong  = "encrypted: Enter in the list asks for the passphrase"
	wordGuessedLong = "No configuration gave the command line: it was guessed from what lies on the volume."
)

// Headings of the other screens.
const (
	wordDetails   = "Details"
	wordReason    = "Why it cannot be booted"
	wordNotesHead = "Notes"
	wordHelp      = "Keys"
	wordPower     = "Restart or switch off"
	wordEdit      = "Command line of %s, for this boot only"
	wordLength    = "%d of %d bytes"
	wordBytes     = "%d bytes"
	wordAllKeys   = "On every screen"

	wordNoteMachine = "This machine"
	wordNoteChoice  = "Settings and choice"
	wordNoteNothing = "There is nothing to note."
	wordNoteClean   = "nothing to note"

	wordHelpList   = "In the list"
	wordHelpText   = "In help, details and notes"
	wordHelpEditor = "While editing the command line"
	wordHelpFilter = "While filtering"
	wordHelpUnlock = "While a passphrase is asked for"
	wordHelpPower  = "In the power menu"
)

// What the keys do: a word for the footer and a sentence for help.
const (
	footBoot     = "boot"
	footOpen     = "open"
	footEdit     = "edit"
	footDetails  = "details"
	footFilter   = "filter"
	footNotes    = "notes"
	footRescan   = "rescan"
	footShell    = "shell"
	footPower    = "power"
	footHelp     = "help"
	footBack     = "back"
	footTry      = "try it all the same"
	footOriginal = "original"
	footUndo     = "undo"
	footKeep     = "keep"
	footAll      = "show all"
	footHandOn   = "hand on"
	footClear    = "clear"
	footCancel   = "stop"
	footReboot   = "restart"
	footPowerOff = "switch off"

	helpBoot     = "boot the selected entry"
	helpEdit     = "edit its command line for one boot"
	helpDetails  = "all that is known about it"
	helpFilter   = "show only entries that contain some words"
	helpNotes    = "warnings, and what was found on each volume"
	helpRescan   = "look at all disks again"
	helpShell    = "open a shell; leaving it comes back here"
	helpPower    = "restart or switch off"
	helpHelp     = "this help"
	helpUp       = "entry above"
	helpDown     = "entry below"
	helpPgUp     = "a page up"
	helpPgDn     = "a page down"
	helpFirst    = "first entry"
	helpLast     = "last entry"
	helpJump     = "select the entry with that number"
	helpRedraw   = "paint the screen anew"
	helpOpen     = "open a group of entries; Enter does, too"
	helpClose    = "close the group that the selection is in"
	helpEsc      = "stop loading; show all entries again after filtering; close a group"
	helpBack     = "back to the list"
	helpLineUp   = "a line up"
	helpLineDown = "a line down"
	helpTop      = "to the top"
	helpBottom   = "to the end"
	helpTry      = "boot it although something is missing"

	helpBootEdited = "boot with this command line"
	helpEditBack   = "back to the list; the edit is kept for the next e"
	helpLeft       = "a character left or right"
	helpWord       = "a word left or right"
	helpLineMove   = "a line up or down"
	helpHome       = "to the beginning"
	helpEnd        = "to the end"
	helpBackspace  = "delete the character before the cursor"
	helpDelete     = "delete the character under the cursor"
	helpKillWord   = "delete the word before the cursor"
	helpKillStart  = "delete all before the cursor"
	helpKillEnd    = "delete all after the cursor"
	helpYank       = "put back what was deleted last"
	helpUndo       = "undo the last change"
	helpOriginal   = "the command line as it was found"

	helpKeep   = "keep the filter and go back to the list"
	helpAll    = "show all entries again"
	helpUnlock = "open the volume with the passphrase"
	helpHandOn = "hand the passphrase on to the system that is booted, or not"
	helpClear  = "forget what was typed"
	helpReboot = "restart the machine"
	helpOff    = "switch the machine off"
)

// Names of keys.
const (
	keyEnter     = "Enter"
	keyEsc       = "Esc"
	keyTab       = "Tab"
	keyUp        = "Up k Ctrl-P"
	keyDown      = "Down j Ctrl-N"
	keyPgUp      = "PgUp"
	keyPgDn      = "PgDn Space"
	keyPgDnList  = "PgDn"
	keyFirst     = "Home g"
	keyLast      = "End G"
	keyJump      = "1-9"
	keyHelp      = "? h F1"
	keyRedraw    = "Ctrl-L"
	keyOpen      = "+ Right"
	keyClose     = "- Left"
	keyBack      = "Esc q"
	keyEditBoot  = "Enter Ctrl-X F10"
	keyLeftRight = "Left Right"
	keyWords     = "Ctrl-Left Ctrl-Right"
	keyLines     = "Up Down"
	keyHome      = "Home Ctrl-A"
	keyEnd       = "End Ctrl-E"
	keyBackspace = "Backspace Ctrl-H"
	keyDelete    = "Delete Ctrl-D"
	keyKillWord  = "Ctrl-W"
	keyKillStart = "Ctrl-U"
	keyKillEnd   = "Ctrl-K"
	keyYank      = "Ctrl-Y"
	keyUndo      = "Ctrl-Z Ctrl-_"
	keyOriginal  = "Ctrl-R"
)
