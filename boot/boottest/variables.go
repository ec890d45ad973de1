package boottest

import (
	"io/fs"
	"strings"
)

// Variables are EFI variables in memory, an efivar.Variables. The zero value has
// none.
type Variables struct {
	Values map[string]string // by name: each name has one vendor
	Log    []string          // "set NAME" and "delete NAME", for each change
	Fail   error             // of each change
	Lossy  bool              // what is set is lost
}

// vendor returns the GUID under which a variable is to be used.
func vendor(name string) string {
	switch {
	case strings.HasPrefix(name, "Alpboot"):
		return "ca794364-4ce4-428a-85d3-57c1e51796db"
	case strings.HasPrefix(name, "Loader"):
		return "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
	case name == "db":
		return "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
	}
	return "8be4df61-93ca-11d2-aa0d-00e098032b8c"
}

// Writable returns v.Fail.
func (v *Variables) Writable() error { return v.Fail }

// Get returns a value.
func (v *Variables) Get(name, guid string) ([]byte, error) {
	value, ok := v.Values[name]
	if !ok || guid != vendor(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return []byte(value), nil
}

// Set sets a value.
func (v *Variables) Set(name, guid string, value []byte) error {
	return v.change("set", name, guid, func() {
		if v.Lossy {
			value = nil
		}
		if v.Values == nil {
			v.Values = map[string]string{}
		}
		v.Values[name] = string(value)
	})
}

// SetSigned sets the value of a variable of Secure Boot to a signed update, as it is. PK
// ends the setup mode.
func (v *Variables) SetSigned(name, guid string, update []byte) error {
	return v.change("sign", name, guid, func() {
		v.Values[name] = string(update)
		if name == "PK" {
			v.Values["SetupMode"] = "\x00"
		}
	})
}

// Delete removes a variable.
func (v *Variables) Delete(name, guid string) error {
	return v.change("delete", name, guid, func() { delete(v.Values, name) })
}

func (v *Variables) change(what, name, guid string, do func()) error {
	if guid != vendor(name) {
		return &fs.PathError{Op: what, Path: name, Err: fs.ErrInvalid}
	}
	if v.Fail != nil {
		return &fs.PathError{Op: what, Path: name, Err: v.Fail}
	}
	v.Log = append(v.Log, what+" "+name)
	do()
	return nil
}
