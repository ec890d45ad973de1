package tpm

import "fmt"

// Code is what a TPM has against a command: a TPM_RC that is not zero.
type Code uint32

// Error returns what the code means, in a sentence where it has one here.
func (c Code) Error() string {
	text, ok := meanings[c.plain()]
	if !ok {
		text = "it refuses"
	}
	return fmt.Sprintf("%s (TPM_RC %#03x)", text, uint32(c))
}

// Is reports whether target is the same code, whichever parameter, handle or session
// it is about.
func (c Code) Is(target error) bool {
	t, ok := target.(Code)
	return ok && c.plain() == t.plain()
}

// plain returns the code without the number of what it is about, which those of
// format one have: bit 7 is set in them, and bits 6 and 8 to 11 are that.
func (c Code) plain() Code {
	const formatOne, about, layer = 1 << 7, 0xf40, 0xfff
	c &= layer // above that is who refuses: the TPM, or the kernel in its name
	if c&formatOne != 0 {
		return c &^ about
	}
	return c
}

// Codes that callers ask for, in their plain form.
const (
	AuthFail    Code = 0x08e // TPM_RC_AUTH_FAIL: a wrong PIN
	BadAuth     Code = 0x0a2 // TPM_RC_BAD_AUTH: the same, where wrong ones are not counted
	PolicyFail  Code = 0x09d // TPM_RC_POLICY_FAIL
	Integrity   Code = 0x09f // TPM_RC_INTEGRITY
	Lockout     Code = 0x921 // TPM_RC_LOCKOUT
	BadHandle   Code = 0x08b // TPM_RC_HANDLE
	PCRsChanged Code = 0x128 // TPM_RC_PCR_CHANGED
	Defined     Code = 0x14c // TPM_RC_NV_DEFINED
)

// meanings has sentences for plain codes; the rest stays a number.
var meanings = map[Code]string{
	0x100:       "the firmware has not started it",                                        // INITIALIZE
	0x101:       "it has failed its self-test; switching the machine off and on may help", // FAILURE
	0x120:       "it is disabled in the firmware's setup",                                 // DISABLED
	0x143:       "it does not know this command",                                          // COMMAND_CODE
	0x902:       "it has no room for another key",                                         // OBJECT_MEMORY
	0x903:       "it has no room for another session",                                     // SESSION_MEMORY
	0x907:       "the operating system may not do this",                                   // LOCALITY
	0x908:       "it was interrupted",                                                     // YIELDED
	0x90a:       "it is still testing itself",                                             // TESTING
	0x922:       "it is busy",                                                             // RETRY
	0x923:       "its memory cannot be written to at the moment",                          // NV_UNAVAILABLE
	0x920:       "its memory is written to too often; try again in a minute",              // NV_RATE
	0x14b:       "its memory is full",                                                     // NV_SPACE
	0x083:       "it does not know this algorithm",                                        // HASH
	0x084:       "a value is not one that it takes",                                       // VALUE
	0x095:       "it takes another size",                                                  // SIZE
	0x01e:       "it is not a TPM 2.0",                                                    // BAD_TAG
	Lockout:     "it refuses for a while, as too many wrong passwords were tried",         //
	AuthFail:    "a wrong password",                                                       //
	BadAuth:     "a wrong password",                                                       //
	PolicyFail:  "this machine has not started as it had when the secret was sealed",      //
	Integrity:   "the secret was sealed by another TPM",                                   //
	BadHandle:   "it has no such key",                                                     //
	PCRsChanged: "something was measured in between",                                      //
	Defined:     "it is there already",                                                    //
}
