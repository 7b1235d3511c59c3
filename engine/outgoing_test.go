package engine

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"carrel/engine/launch"
)

func TestPrivateNetwork(t *testing.T) {
	env := []string{"A=1", "http_proxy=http://127.0.0.1:3128", "https_proxy=http://proxy.example:8080", "no_proxy=.example"}
	o := launch.Options{Host: launch.Host{Env: slices.Clone(env)}}
	c, err := privateNetwork(&o)
	if err != nil {
		t.Fatal(err)
	}
	if !o.Subnet.Address.Contains(c.Gateway) || c.Gateway == o.Subnet.Address.Addr() {
		t.Errorf("gateway %s of %s", c.Gateway, o.Subnet.Address)
	}
	if c.HostPorts[3128] != netip.MustParseAddrPort("127.0.0.1:3128") || len(c.HostPorts) != 1 {
		t.Errorf("ports of the host that are open: %v", c.HostPorts)
	}
	env[1] = "http_proxy=http://" + c.Gateway.String() + ":3128"
	if !slices.Equal(o.Host.Env, env) {
		t.Errorf("got %s, want %s", strings.Join(o.Host.Env, " "), strings.Join(env, " "))
	}
}

func TestPrivate(t *testing.T) {
	for _, test := range []struct {
		spec RunSpec
		want bool
	}{
		{RunSpec{}, false},
		{RunSpec{Isolated: true}, true},
		{RunSpec{Ports: []Port{{Container: 80}}}, true},
		{RunSpec{Guard: GuardOn}, true},
		{RunSpec{Guard: GuardAuto}, false},
		{RunSpec{NoNetwork: true, Ports: []Port{{Container: 80}}}, false},
	} {
		if got := test.spec.private(); got != test.want {
			t.Errorf("%+v: got %v, want %v", test.spec, got, test.want)
		}
	}
}

func TestApart(t *testing.T) {
	for _, test := range []struct {
		spec    RunSpec
		guarded bool
		want    bool
	}{
		{RunSpec{}, true, true}, {RunSpec{}, false, false}, {RunSpec{HostNetwork: true}, true, false}, {RunSpec{NoNetwork: true}, true, false},
		{RunSpec{Isolated: true}, false, true},
	} {
		if got := test.spec.apart(test.guarded); got.Isolated != test.want {
			t.Errorf("%+v, guarded %v: a network of its own %v", test.spec, test.guarded, got.Isolated)
		}
	}
}

func TestExposed(t *testing.T) {
	for _, test := range []struct {
		mode GuardMode
		spec RunSpec
		want bool
	}{
		{GuardOn, RunSpec{HostNetwork: true}, true}, {GuardOff, RunSpec{HostNetwork: true}, false}, {GuardOn, RunSpec{NoNetwork: true}, false},
		{GuardOn, RunSpec{Isolated: true}, false}, {GuardOn, RunSpec{Guard: GuardOff}, false},
	} {
		e := &Engine{c: Config{Guard: test.mode}}
		if got := e.Exposed(test.spec); got != test.want {
			t.Errorf("configured %s, %+v: %v", test.mode, test.spec, got)
		}
	}
}

func TestGuarding(t *testing.T) {
	for _, test := range []struct {
		configured, asked GuardMode
		want              bool
	}{
		{"", "", false}, {GuardOff, GuardOn, true}, {GuardOn, "", true}, {GuardOn, GuardOff, false},
	} {
		e := &Engine{c: Config{Guard: test.configured}}
		if got, _ := e.guarding(RunSpec{Guard: test.asked}); got != test.want {
			t.Errorf("configured %q, asked for %q: got %v, want %v", test.configured, test.asked, got, test.want)
		}
	}
}
