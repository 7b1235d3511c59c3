package image

import "testing"

// BenchmarkOpenAndLabels is what listing an image costs; the aim is 1,000 in 100 ms.
func BenchmarkOpenAndLabels(b *testing.B) {
	root := b.TempDir()
	scaffolded(b, root, full())
	path := sifOf(b, root, "Bootstrap: scratch\n")
	for b.Loop() {
		m, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := m.Labels(); err != nil {
			b.Fatal(err)
		}
		m.Close()
	}
}
