package screen

import (
	"testing"

	"carrel/engine"
)

func TestAppAddress(t *testing.T) {
	tcp, page := engine.Address{URL: "tcp://127.0.0.1:5432", Host: 1}, engine.Address{URL: "http://127.0.0.1:8888/", Host: 2}
	ready := func(a engine.Address) engine.Address { a.Ready = true; return a }
	tests := []struct {
		name string
		all  []engine.Address
		want int // its port; 0: none
		page bool
	}{
		{"none", nil, 0, false},
		{"a page before another port", []engine.Address{ready(tcp), ready(page)}, 2, true},
		{"a page that is to come", []engine.Address{tcp, page}, 2, false},
		{"what answers", []engine.Address{ready(tcp), page}, 1, false},
		{"the first of two", []engine.Address{ready(page), ready(engine.Address{URL: "https://127.0.0.1/", Host: 3})}, 2, true},
	}
	for _, tt := range tests {
		a := &engine.Instance{State: engine.StateReady, Addresses: tt.all}
		got := 0
		if ad := AppAddress(a); ad != nil {
			got = ad.Host
		}
		if got != tt.want || (NoPage(a) == "") != tt.page {
			t.Errorf("%s: port %d (no page: %q), want %d", tt.name, got, NoPage(a), tt.want)
		}
		if a.State = engine.StateExited; NoPage(a) == "" {
			t.Errorf("%s: the page of an app that ended", tt.name)
		}
	}
}
