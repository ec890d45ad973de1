package mapper

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

const devStatus = 7

// Exists reports whether there is a mapping with a UUID, and its name. Where the
// kernel has no device-mapper, or has not loaded it, there is none.
func (m *Mapper) Exists(uuid string) (name string, ok bool, err error) {
	if uuid == "" || len(uuid) > maxUUID {
		return "", false, nil
	}
	c, err := open()
	if err != nil {
		if errors.Is(err, errNone) {
			return "", false, nil
		}
		return "", false, fmt.Errorf("looking for a mapping: %w", err)
	}
	defer c.Close()
	reply, err := c.do(devStatus, request{uuid: uuid})
	switch {
	case err == unix.ENXIO:
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("looking for a mapping: %w", reason(err))
	}
	return reply.name, true, nil
}
