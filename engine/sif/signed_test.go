package sif

import "testing"

const clearsigned = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n" +
	`{"version":1,"objects":[{"relativeId":0,"objectDigest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}` +
	"\n-----BEGIN PGP SIGNATURE-----\n\nwnUEARYIAB0FAmAAAAAWIQQ=\n=AAAA\n-----END PGP SIGNATURE-----\n"

// FuzzSigned reads the texts of signatures, which are in images of others.
func FuzzSigned(f *testing.F) {
	f.Add([]byte(clearsigned))
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\n\n{}\n-----BEGIN PGP SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		digests, err := parseSigned(text)
		if err != nil {
			return
		}
		for id, all := range digests {
			if len(all) > maxSigned {
				t.Errorf("%d digests of object %d", len(all), id)
			}
			for _, d := range all {
				if !d.hash.Available() {
					t.Errorf("hash %v cannot be computed", d.hash)
				}
			}
		}
	})
}
