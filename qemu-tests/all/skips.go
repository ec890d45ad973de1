package main

// maySkip tells why a test may be skipped even in CI.
func maySkip(pkg, test string) (reason string, ok bool) {
	reason, ok = map[string]string{}[short(pkg)+" "+test]
	return reason, ok
}
