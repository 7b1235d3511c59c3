package engine

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"carrel/engine/card"
	"carrel/engine/launch"
)

// An app whose port is taken gets another one, in a network of its own; none else does.
func TestOtherPorts(t *testing.T) {
	base := t.TempDir()
	e, err := New(Config{DataDir: filepath.Join(base, "data"), StateDir: filepath.Join(base, "state"), CacheDir: filepath.Join(base, "cache")})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	p := &prepared{card: card.Card{Ports: []card.Port{{Container: taken}, {Container: e.Port(taken).NextOne}}}, network: launch.NetworkHost}

	moved, held := e.otherPorts(RunSpec{Image: "x"}, p)
	if len(moved.Ports) != 2 || moved.Ports[0].Container != taken || moved.Ports[0].Host == taken || moved.Ports[0].Host == 0 || moved.Ports[1].Container == taken {
		t.Errorf("ports %+v", moved.Ports)
	}
	if len(held) != 1 || !strings.Contains(held[0], "is taken by ") || !strings.Contains(held[0], "a network of its own") {
		t.Errorf("said %q", held)
	}
	for name, s := range map[string]RunSpec{
		"its ports were named":      {Ports: []Port{{Host: taken, Container: taken}}},
		"another command":           {Action: ActionExec},
		"this computer's, they say": {HostNetwork: true},
	} {
		if _, held := e.otherPorts(s, p); len(held) > 0 {
			t.Errorf("%s: %q", name, held)
		}
	}
	isolated := *p
	isolated.network = launch.NetworkPrivate
	if _, held := e.otherPorts(RunSpec{}, &isolated); len(held) > 0 {
		t.Errorf("in a network of its own: %q", held)
	}
	l.Close()
	p.card.Ports = p.card.Ports[:1]
	if _, held := e.otherPorts(RunSpec{}, p); len(held) > 0 {
		t.Errorf("a port that is free: %q", held)
	}
}
