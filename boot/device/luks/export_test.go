package luks

// Bytes returns the volume key, not a copy.
func (k *Key) Bytes() []byte { return k.key }
