package device

// Error is what went wrong with a device, as a sentence that names it.
type Error struct {
	Before, Device, After string // the sentence
	Err                   error  // what follows it after a colon; nil for nothing
}

func (e *Error) Error() string {
	s := e.Before + e.Device + e.After
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Named returns err with the device of an [Error] called name, as a user does.
func Named(err error, name string) error {
	if e, ok := err.(*Error); ok {
		named := *e
		named.Device = name
		return &named
	}
	return err
}
