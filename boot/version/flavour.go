package version

// Flavour returns what tells the packages of a distribution's kernels apart, from
// a release: lts of 6.12.1-0-lts, cloud-amd64 of 6.1.0-56-cloud-amd64.
func Flavour(release string) string {
	for i := len(release) - 1; i > 0; i-- {
		if release[i] == '-' && release[i-1] >= '0' && release[i-1] <= '9' {
			return release[i+1:]
		}
	}
	return release
}
