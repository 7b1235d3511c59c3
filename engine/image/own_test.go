package image

import (
	"testing"

	"carrel/engine/oci"
)

func TestOCIOwn(t *testing.T) {
	for _, tc := range []struct {
		config oci.Config
		want   Own
	}{
		{oci.Config{}, Own{}},
		{oci.Config{WorkingDir: "/"}, Own{}},
		{oci.Config{WorkingDir: "/", Entrypoint: []string{"/bin/app"}}, Own{}},
		{oci.Config{WorkingDir: "/", Entrypoint: []string{"app"}}, Own{}},
		{oci.Config{WorkingDir: "/", Entrypoint: []string{"./app"}}, Own{Dir: "/"}},
		{oci.Config{WorkingDir: "/", Cmd: []string{"bin/app"}, User: "1:2"}, Own{Dir: "/", User: "1:2"}},
		{oci.Config{WorkingDir: "srv/x/", User: "me"}, Own{Dir: "/srv/x", User: "me"}},
	} {
		if got := OCIOwn(tc.config); got != tc.want {
			t.Errorf("%+v: got %+v, want %+v", tc.config, got, tc.want)
		}
	}
}
