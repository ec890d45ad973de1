package main

// Every sentence that bootmenu itself puts on the screen, beside those of
// package menu. Verbs of package fmt stand for what is filled in.
const (
	wordNoKexec   = "This kernel forbids kexec, so nothing can be booted from here: it must be started with kexec_load_disabled=0 on its command line."
	wordNoCmdline = "The kernel parameters cannot be read: %v."
	wordNoConsole = "The menu is not shown on one console: %v."
	wordNoEvents  = "Devices that are plugged in later get no driver: %v."
	wordSlow      = "The volumes took too long to answer: settings, and what is remembered, on them may be missing."

	wordToCome    = "Looking for %s again ..."
	wordLoading   = "Loading %s ..."
	wordReading   = "Reading %s"
	wordUnpacking = "Unpacking %s"
	wordHandingIn = "Loading %s"
	wordStarting  = "Starting %s. The screen may stay dark for a moment."
	wordReboot    = "Restarting ..."
	wordFirmware  = "Restarting into the setup of the firmware ..."
	wordPowerOff  = "Switching off ..."
	wordNoSetup   = "The firmware cannot be told to show its setup: %v."

	wordShellHint = "Type exit to come back to the menu. Commands: ls /bbin"
	wordNoShell   = "This image has no shell."
	wordShellOff  = "The settings do not allow a shell here."

	wordRemembered    = "It is remembered in %s."
	wordWhere         = "A default is remembered in %s"
	wordNotRemembered = "What is remembered cannot be used: %v."
	wordNoPlace       = "the volume of remember = %s is not there"
	wordIsDefault     = "%s is booted from now on when nobody types."
	wordOverruled     = "%s is remembered as the default, but the settings name another one (default = %s), and that counts more."
	wordIsNext        = "%s is booted at the next start, once."
	wordForgotten     = "No default is remembered any more."
	wordNotYet        = "The volume on which it is remembered has not been found yet."
	wordNotNow        = "Something else is being loaded or remembered: try again when that is done."
	wordSaving        = "Remembering the default ..."
	wordNotWritten    = "That could not be remembered: %v."
	wordOnce          = "it was to be booted once, and that it has been cannot be remembered, so that it would be booted for ever (%w). Enter boots it all the same"
	wordItself        = "It is alpboot itself, which would start itself for ever."
	wordNeverUp       = "It was started before and never said that it is up."

	wordSlotLeft  = "%s: %v."
	wordSaved     = "The log is in the file /%s on %s."
	wordNotSaved  = "The log was not saved: %v."
	wordNoKeymap  = "The keyboard layout %s cannot be used: %v."
	wordUnopened  = "%s was opened before and cannot be opened again: %v."
	wordSettingOf = "%s (%s)"
)
