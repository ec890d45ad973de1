package line

// Every word that the line mode itself puts on the console. Verbs of package
// fmt stand for what is filled in.
const (
	wordHidden    = "Enter shows the menu."
	wordLooking   = "Looking for something to boot ..."
	wordListed    = "Entries:"
	wordRow       = "%4d  %s"
	wordOn        = "      on %s"
	wordNew       = "New: %d  %s"
	wordNow       = "Now: %d  %s"
	wordGone      = "Gone: %d  %s"
	wordChoose    = "Type a number and Enter, or ? and Enter for help:"
	wordEnterIs   = "Type a number and Enter, Enter alone for %d, or ? and Enter for help:"
	wordCountdown = "Booting %d (%s) in %d seconds. Enter boots it now, any other line stops that."
	wordWarning   = "Warning: %s"
	wordNoNumber  = "%q is neither a number of the list nor a command. ? and Enter helps."
	wordNoSuch    = "There is no number %q in the list."
	wordNoDefault = "There is no default: type a number."
	wordNotEntry  = "%d is no entry."
	wordBad       = "%s Type t %d to try it all the same, i %d for all about it."
	wordHandOn    = "Hand the passphrase of %s on to the system that is booted, so that it does not ask again? y or n:"
	wordAsk       = "Passphrase of %s (it is not shown; an empty line goes back):"
	wordBack      = "Nothing was done."
	wordEdit      = "Type the whole command line, or + and what is to be added to it; an empty line goes back. It is now:"
	wordPower     = "r restart, o switch off%s; anything else goes back:"
	wordFirmware  = ", f firmware setup"
	wordAgain     = ", a alpboot anew"
	wordNoMemory  = "There is no place to remember a default."
	wordLong      = "This line is too long and was left out."
)

// help is what ? shows.
var help = [...]string{
	"NUMBER    boot that entry, or open that volume",
	"Enter     boot the default",
	"0         the list again",
	"e NUMBER  edit its command line for this boot",
	"i NUMBER  all that is known about it",
	"t NUMBER  try one that cannot be booted",
	"d NUMBER  make it the default; d NUMBER once for the next start only",
	"c         stop loading",
	"l         notes and log",
	"m         what is known about this machine",
	"r         look at all disks again",
	"s         open a shell; leaving it comes back here",
	"p         restart or switch off",
	"?         this help",
}
