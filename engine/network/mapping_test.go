package network

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseMapping(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"9999", "127.0.0.1:9999>9999?"},
		{"8080:80", "127.0.0.1:8080>80"},
		{"0:8888", "127.0.0.1:0>8888"},
		{":8888", "127.0.0.1:0>8888"},
		{"127.0.0.1:8080:80", "127.0.0.1:8080>80"},
		{"0.0.0.0:80:80", "0.0.0.0:80>80"},
		{"*:80:80", "0.0.0.0:80>80"},
		{"localhost:8080:80", "127.0.0.1:8080>80"},
		{"127.0.0.1::80", "127.0.0.1:0>80"},
		{"[::1]:8080:80", "[::1]:8080>80"},
		{"[::]:0:80", "[::]:0>80"},
		{"::80", "127.0.0.1:0>80"},
		{"8080:80/tcp", "127.0.0.1:8080>80/tcp"},
		{"8080:80/HTTPS", "127.0.0.1:8080>80/https"},
		{"80/http", "127.0.0.1:80>80?/http"},
		{"5353:53/udp", "127.0.0.1:5353>53/udp"},
		{"53/UDP", "127.0.0.1:53>53?/udp"},
		{"9999/TCP", "127.0.0.1:9999>9999?/tcp"},
		{" 9999 ", "127.0.0.1:9999>9999?"},
		{"8000-8002:9000-9002", "127.0.0.1:8000>9000 127.0.0.1:8001>9001 127.0.0.1:8002>9002"},
		{"8000-8001", "127.0.0.1:8000>8000? 127.0.0.1:8001>8001?"},
		{"0:8000-8001", "127.0.0.1:0>8000 127.0.0.1:0>8001"},
		{"65535:65535", "127.0.0.1:65535>65535"},
		{"", "empty"},
		{"0", "cannot be 0"},
		{"80:0", "cannot be 0"},
		{"http", "not a port number"},
		{"+80", "not a port number"},
		{"-80", "a port is missing"},
		{"80:", "a port is missing"},
		{"65536", "above 65535"},
		{"99999999999999999999999", "not a port number"},
		{"80/sctp", "only tcp and udp"},
		{"80/icmp", "unknown protocol"},
		{"80/", "no protocol"},
		{"8003-8000", "backwards"},
		{"8000-8002:9000-9001", "3 ports of the host for 2"},
		{"8000-8002:80", "3 ports of the host for 1"},
		{"1-2000", "more than 1024"},
		{"0-3:1-4", "begin with port 0"},
		{"127.0.0.1:80", "needs both ports"},
		{"[::1]:80", "needs both ports"},
		{"::1:8080:80", "too many colons"},
		{"[::1:8080:80", "[ADDRESS]"},
		{"1.2.3:80:80", "not an IP address"},
		{"a:b:c:d:e", "too many colons"},
	} {
		t.Run(test.text, func(t *testing.T) {
			mappings, err := ParseMapping(test.text)
			if err != nil {
				var bad *MappingError
				if !errors.As(err, &bad) || bad.Text != test.text || bad.Hint() == "" {
					t.Errorf("got %#v, want a *MappingError for %q with a hint", err, test.text)
				}
				if !strings.Contains(err.Error(), test.want) {
					t.Errorf("got error %v, want %s", err, test.want)
				}
				return
			}
			var got []string
			for _, m := range mappings {
				host := m.Host().String()
				if m.Host().Is6() {
					host = "[" + host + "]"
				}
				text := fmt.Sprintf("%s:%d>%d", host, m.HostPort, m.ContainerPort)
				if m.Wish {
					text += "?"
				}
				if m.UDP {
					text += "/udp"
				}
				if m.Proto != "" {
					text += "/" + m.Proto
				}
				got = append(got, text)
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func FuzzParseMapping(f *testing.F) {
	for _, text := range []string{"9999", "8080:80", "[::1]:1:2", "1-3:4-6/tcp", "80/https", "*::80", "0:1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		mappings, err := ParseMapping(text)
		if err != nil {
			return
		}
		for _, m := range mappings {
			again, err := ParseMapping(m.String())
			if err != nil || len(again) != 1 || again[0] != m {
				t.Errorf("%q: %+v is written %q, which is read as %+v, %v", text, m, m.String(), again, err)
			}
		}
	})
}
