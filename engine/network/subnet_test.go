package network

import (
	"fmt"
	"net/netip"
	"testing"
)

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func TestChoose(t *testing.T) {
	for _, test := range []struct {
		name  string
		taken []netip.Prefix
		inUse []netip.Addr
		want  string
	}{
		{"nothing", nil, nil, "10.219.73.0/30"},
		{"home", prefixes("192.168.1.0/24", "0.0.0.0/0", "127.0.0.0/8"), nil, "10.219.73.0/30"},
		{"institute", prefixes("10.0.0.0/8", "0.0.0.0/0"), nil, "172.29.219.72/30"},
		{"resolver", nil, []netip.Addr{netip.MustParseAddr("10.219.73.1")}, "172.29.219.72/30"},
		{"mapped resolver", nil, []netip.Addr{netip.MustParseAddr("::ffff:10.219.73.1")}, "172.29.219.72/30"},
		{"VPN over everything", prefixes("0.0.0.0/1", "128.0.0.0/1"), nil, "10.219.73.0/30"},
		{"everything private", prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15"), nil, "10.219.73.0/30"},
		{"everything close", prefixes("10.219.73.0/24", "172.29.219.0/24", "192.168.219.0/24", "100.89.219.0/24", "198.18.219.0/24"), nil, "invalid Prefix"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := choose(test.taken, test.inUse)
			if got.String() != test.want || (err == nil) != got.IsValid() {
				t.Errorf("got %s, %v; want %s", got, err, test.want)
			}
		})
	}
}

func TestChooseSubnetHere(t *testing.T) {
	s, err := ChooseSubnet()
	if err != nil {
		t.Fatal(err)
	}
	if !s.Address.Contains(s.Gateway) || s.Address.Addr() == s.Gateway || !s.Address.Addr().Is4() {
		t.Errorf("got %+v", s)
	}
	if s.Address6.IsValid() != s.Gateway6.IsValid() {
		t.Errorf("got %+v", s)
	}
}

func TestParseRoutes(t *testing.T) {
	const table = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0101A8C0	0003	0	0	100	00000000	0	0	0
eth0	0001A8C0	00000000	0001	0	0	100	00FFFFFF	0	0	0
tun0	0000000A	00000000	0001	0	0	0	000000FF	0	0	0
`
	if got := fmt.Sprint(parseRoutes(table)); got != "[0.0.0.0/0 192.168.1.0/24 10.0.0.0/8]" {
		t.Errorf("got %s", got)
	}
}

func TestHasDefault6(t *testing.T) {
	const (
		zero   = "00000000000000000000000000000000"
		router = zero + " 00 " + zero + " 00 fe80000000000000000000fffe000001 00000400 00000001 00000000 00000003     eth0\n"
		none   = zero + " 00 " + zero + " 00 " + zero + " ffffffff 00000001 00000000 00200200       lo\n"
		local  = "fd000000000000000000000000000000 40 " + zero + " 00 " + zero + " 00000100 00000001 00000000 00000001     eth0\n"
	)
	for _, test := range []struct {
		name, table string
		want        bool
	}{{"router", local + none + router, true}, {"none", local + none, false}, {"empty", "", false}} {
		if got := hasDefault6(test.table); got != test.want {
			t.Errorf("%s: got %v", test.name, got)
		}
	}
}

func TestProxies(t *testing.T) {
	gateway := netip.MustParseAddr("10.219.73.1")
	env := map[string]string{
		"http_proxy":  "http://127.0.0.1:3128/",
		"HTTPS_PROXY": "localhost:3128",
		"all_proxy":   "socks5h://user:secret@[::1]",
		"https_proxy": "http://proxy.example.org:8080",
		"FTP_PROXY":   "http://127.0.0.1:99999",
		"ftp_proxy":   "%%%",
		"HTTP_PROXY":  "",
		"no_proxy":    "localhost,127.0.0.1",
	}
	changed, ports := Proxies(func(name string) (string, bool) { v, ok := env[name]; return v, ok }, gateway)
	want := map[string]string{
		"http_proxy":  "http://10.219.73.1:3128/",
		"HTTPS_PROXY": "http://10.219.73.1:3128",
		"all_proxy":   "socks5h://user:secret@10.219.73.1:1080",
	}
	if fmt.Sprint(changed) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", changed, want)
	}
	if got := fmt.Sprint(ports); got != "map[1080:[::1]:1080 3128:127.0.0.1:3128]" {
		t.Errorf("ports %s", got)
	}
}
