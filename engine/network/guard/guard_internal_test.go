package guard

import (
	"encoding/binary"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
)

func TestDecide(t *testing.T) {
	for _, test := range []struct {
		who   person
		proto string
		begin byte
		want  way
	}{
		{own, "http", 0, asked},
		{own, "", 'G', asked},
		{other, "", 'G', asked},
		{unknown, "", 'P', asked},
		{unknown, "http", 0x16, asked},
		{own, "", '\r', asked}, // an empty line before a request, which lenient servers skip
		{own, "", 0x16, passed},
		{system, "", 0x16, passed},
		{other, "", 0x16, refused},
		{unknown, "", 0x16, refused},
		{far, "", 0x16, refused},
		{own, "https", 0, passed},
		{other, "https", 0, refused},
		{other, "tcp", 'G', refused},
		{unknown, "tcp", 'G', refused},
		{unknown, "https", 0x16, refused},
		{far, "tcp", 'G', passed},
		{far, "https", 0x16, passed},
		{far, "", 'P', asked},
		{own, "tcp", 0, passed},
	} {
		if got := decide(test.who, test.proto, test.begin); got != test.want {
			t.Errorf("decide(%v, %q, %q) = %v, want %v", test.who, test.proto, test.begin, got, test.want)
		}
	}
}

func TestOnHost(t *testing.T) {
	at := netip.MustParseAddr
	type test struct {
		from, to netip.Addr
		want     bool
	}
	tests := []test{
		{at("127.0.0.1"), at("127.0.0.1"), true}, {at("127.3.4.5"), at("127.0.0.1"), true}, {at("::1"), at("::1"), true},
		{at("192.0.2.7"), at("192.0.2.7"), true}, // whatever it is called, it spoke to itself
		{at("192.0.2.7"), at("198.51.100.1"), false}, {at("2001:db8::7"), at("2001:db8::8"), false},
	}
	mine, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range mine {
		tests = append(tests, test{netip.MustParsePrefix(a.String()).Addr(), at("198.51.100.1"), true})
	}
	for _, test := range tests {
		if got := onHost(test.from, test.to); got != test.want {
			t.Errorf("onHost(%v, %v) = %v, want %v", test.from, test.to, got, test.want)
		}
	}
}

func TestKnownHost(t *testing.T) {
	names := []string{"node7", "node7.cluster.example"}
	for host, want := range map[string]bool{
		"127.0.0.1:8888": true, "127.0.0.1": true, "[::1]:8888": true, "[::1]": true, "localhost:9000": true, "LOCALHOST.:80": true,
		"app.localhost": true, "192.0.2.7:80": true, "node7:8888": true, "NODE7.cluster.example.": true,
		"evil.example": false, "localhost.evil.example:8888": false, "": false, "127.0.0.1.evil.example": false, "node70": false,
	} {
		if got := knownHost(host, names); got != want {
			t.Errorf("knownHost(%q) = %v, want %v", host, got, want)
		}
	}
}

func TestStrange(t *testing.T) {
	own := func(port string) bool { return port == "8001" }
	for _, test := range []struct {
		name, method string
		header       string // "Name: value; …"
		want         bool
	}{
		{"curl", "POST", "", false},
		{"own page, web socket", "GET", "Origin: http://127.0.0.1:8000|Upgrade: websocket|Sec-Fetch-Site: same-origin", false},
		{"own page, post", "POST", "Origin: http://127.0.0.1:8000", false},
		{"own page, typed in", "GET", "Sec-Fetch-Site: none|Sec-Fetch-Mode: navigate|Sec-Fetch-Dest: document", false},
		{"another port of the app", "POST", "Origin: http://127.0.0.1:8001|Sec-Fetch-Site: same-site", false},
		{"a picture on another port of the app", "GET", "Referer: http://127.0.0.1:8001/|Sec-Fetch-Site: same-site|Sec-Fetch-Mode: no-cors", false},
		{"a link followed from elsewhere", "GET", "Sec-Fetch-Site: cross-site|Sec-Fetch-Mode: navigate|Sec-Fetch-Dest: document", false},
		{"somebody's port, web socket", "GET", "Origin: http://127.0.0.1:6666|Upgrade: websocket", true},
		{"somebody's port, post", "POST", "Origin: http://127.0.0.1:6666|Sec-Fetch-Site: same-site|Sec-Fetch-Mode: navigate|Sec-Fetch-Dest: document", true},
		{"somebody's port, script", "GET", "Sec-Fetch-Site: same-site|Sec-Fetch-Mode: no-cors|Sec-Fetch-Dest: script", true},
		{"somebody's port, frame", "GET", "Sec-Fetch-Site: same-site|Sec-Fetch-Mode: navigate|Sec-Fetch-Dest: iframe", true},
		{"somebody's port, read", "GET", "Origin: http://127.0.0.1:6666|Sec-Fetch-Site: same-site|Sec-Fetch-Mode: cors", true},
		{"an old browser, read", "GET", "Origin: http://evil.example", true},
		{"no origin at all", "POST", "Origin: null", true},
	} {
		r := &http.Request{Method: test.method, Host: "127.0.0.1:8000", Header: http.Header{}}
		for part := range strings.SplitSeq(test.header, "|") {
			if name, value, ok := strings.Cut(part, ": "); ok {
				r.Header.Set(name, value)
			}
		}
		if got := strange(r, own); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

func TestStripCookies(t *testing.T) {
	for _, test := range []struct{ header, rest, mine string }{
		{"a=1; carrel-gate-x=secret; b=\"2\"", "a=1; b=\"2\"", "secret"},
		{"carrel-gate-y=other", "", ""},
		{"carrel-gate-x=1; carrel-gate-x=2", "", "1,2"},
		{"a=1;b=2;  c", "a=1; b=2; c", ""},
		{"carrel-gate-x", "", ""},
		{"", "", ""},
	} {
		rest, mine := stripCookies(test.header, "carrel-gate-x")
		if rest != test.rest || strings.Join(mine, ",") != test.mine {
			t.Errorf("stripCookies(%q) = %q, %q, want %q, %q", test.header, rest, mine, test.rest, test.mine)
		}
	}
}

func FuzzStripCookies(f *testing.F) {
	f.Add("a=1; carrel-gate-x=secret; b=2")
	f.Add(";;carrel-gate-=;=")
	f.Fuzz(func(t *testing.T, header string) {
		rest, _ := stripCookies(header, "carrel-gate-x")
		for part := range strings.SplitSeq(rest, ";") {
			if strings.HasPrefix(strings.TrimSpace(part), cookiePrefix) {
				t.Errorf("%q is left of %q", rest, header)
			}
		}
		if again, _ := stripCookies(rest, "carrel-gate-x"); again != rest {
			t.Errorf("%q became %q the second time", rest, again)
		}
	})
}

func TestLinkAndClean(t *testing.T) {
	g := New(Config{})
	for _, address := range []string{
		"http://127.0.0.1:8888/", "http://127.0.0.1:8888/lab?token=a%20b", "http://127.0.0.1:8888/tree?a&b=;#part", "http://[::1]:80/x#y",
	} {
		link := g.Link(address)
		if !strings.Contains(link, "carrel="+g.code) {
			t.Errorf("the link %s has no code", link)
		}
		if got := Clean(link); got != address {
			t.Errorf("Clean(%s) = %s, want %s", link, got, address)
		}
	}
	if got := g.Link("127.0.0.1:5432"); got != "127.0.0.1:5432" {
		t.Errorf("what is no URL became %s", got)
	}
}

func process(uid uint32) *fstest.MapFile {
	return &fstest.MapFile{Mode: fs.ModeDir | 0o555, Sys: &syscall.Stat_t{Uid: uid}}
}

func record(kind uint16, name string) []byte {
	b := make([]byte, recordSize(runtime.GOARCH))
	binary.NativeEndian.PutUint16(b, kind)
	copy(b[44:], name)
	return b
}

func TestOthers(t *testing.T) {
	for _, test := range []struct {
		name string
		root fstest.MapFS
		want bool
	}{
		{"nobody else", fstest.MapFS{"proc/1": process(0), "proc/7": process(1000), "proc/8": process(33), "proc/9": process(65534), "proc/self": process(1001)}, false},
		{"another's process", fstest.MapFS{"proc/1": process(0), "proc/7": process(1001)}, true},
		{"a number of a directory service", fstest.MapFS{"proc/7": process(1_500_000)}, true},
		{"a service of systemd", fstest.MapFS{"proc/7": process(61184)}, false},
		{"own container", fstest.MapFS{"proc/7": process(100_033), "etc/subuid": {Data: []byte("me:100000:65536\n")}}, false},
		{"own session", fstest.MapFS{"run/systemd/users/1000": {}}, false},
		{"another's session", fstest.MapFS{"run/systemd/users/1002": {}}, true},
		{"logged in twice", fstest.MapFS{"run/utmp": {Data: slices.Concat(record(7, "me"), record(7, "me"), record(8, "gone"))}}, false},
		{"another logged in", fstest.MapFS{"run/utmp": {Data: slices.Concat(record(2, "reboot"), record(7, "me"), record(7, "you"))}}, true},
		{"nothing is known", fstest.MapFS{}, false},
	} {
		if test.root["run/utmp"] != nil && len(loggedIn(record(7, "me"), recordSize(runtime.GOARCH))) != 1 {
			t.Fatal("a record is not read")
		}
		if got := Others(test.root, 1000, "me"); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

func FuzzLoggedIn(f *testing.F) {
	f.Add(record(7, "me"))
	f.Add(record(7, strings.Repeat("x", 32)))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, name := range loggedIn(data, recordSize("amd64")) {
			if name == "" || len(name) > 32 || strings.Contains(name, "\x00") {
				t.Errorf("a name %q", name)
			}
		}
	})
}
