package derive

import "bytes"

// Merge returns the lines of own, without those that lines of add replace, then add. Lines are replaced where the field
// of index n agrees and is not "0" (passwd(5), group(5): field 2 is the id; root stays).
func Merge(own, add []byte, n int) []byte {
	taken := map[string]bool{}
	for _, line := range bytes.Split(add, []byte("\n")) {
		if f := bytes.Split(line, []byte(":")); len(f) > n && string(f[n]) != "0" {
			taken[string(f[n])] = true
		}
	}
	var out []byte
	for _, line := range bytes.Split(own, []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		if f := bytes.Split(line, []byte(":")); len(f) > n && taken[string(f[n])] {
			continue
		}
		out = append(append(out, line...), '\n')
	}
	return append(out, add...)
}
