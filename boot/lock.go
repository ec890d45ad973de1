package boot

// Lock is what the configuration of an entry has so that not everybody starts or
// edits it. Formats fill it in; a Lock is not changed after that.
type Lock struct {
	Asks  bool     // for a password before it starts
	Start []Secret // each of these is enough; where there is none, nobody starts it
	Edit  []Secret // each of these is enough to edit it

	// Unattended is set when it starts without a password where it is the default and
	// nobody types.
	Unattended bool
}

// AsksUnattended reports whether e does not start by itself, as its configuration asks
// for a password first.
func (e Entry) AsksUnattended() bool { return e.Lock != nil && e.Lock.Asks && !e.Lock.Unattended }

// Secret is a password, or a hash of one, as package password takes it. It is not
// printed.
type Secret string

// String keeps s out of logs and screens.
func (Secret) String() string { return "(secret)" }

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }
