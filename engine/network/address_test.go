package network

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What programs print. The want is each address as its String, in order.
var lines = []struct {
	program, line string
	want          []string
}{
	{"Jupyter Server", "    http://localhost:8888/tree?token=0f4ac6c54e0b3ad5e4e5", []string{"http://localhost:8888/tree?token=0f4ac6c54e0b3ad5e4e5"}},
	{"Jupyter Server, host name", "[I 2026-11-19 10:11:12.345 ServerApp] http://c0ffee123456:8888/lab?token=abc", []string{"http://c0ffee123456:8888/lab?token=abc"}},
	{"Jupyter Server, second", "[I 10:11:12.345 ServerApp]     http://127.0.0.1:8888/lab?token=abc", []string{"http://127.0.0.1:8888/lab?token=abc"}},
	{"Jupyter, or", "        http://c0ffee123456:8888/?token=abc or http://127.0.0.1:8888/?token=abc", []string{"http://c0ffee123456:8888/?token=abc", "http://127.0.0.1:8888/?token=abc"}},
	{"Jupyter 5", "        http://(c0ffee123456 or 127.0.0.1):8888/?token=abc&token=def", []string{"http://127.0.0.1:8888/?token=abc&token=def"}},
	{"Jupyter, prefix", "http://node17.cluster.example.org:8889/user/ann/proxy/lab?token=a.b-c_d", []string{"http://node17.cluster.example.org:8889/user/ann/proxy/lab?token=a.b-c_d"}},
	{"Jupyter, taken", "[I 10:11:12.345 ServerApp] The port 8888 is already in use, trying another port.", nil},
	{"Jupyter, help", "[I 10:11:12 NotebookApp] For more see https://jupyter.org/community", nil},
	{"JupyterHub", "[I 2026-11-19 10:11:12.345 JupyterHub app:2859] JupyterHub is now running at http://:8000/", []string{"http://:8000/"}},
	{"R Shiny", "Listening on http://127.0.0.1:3838", []string{"http://127.0.0.1:3838"}},
	{"Shiny Server", "[2026-11-19T10:11:12.345] [INFO] shiny-server - Starting listener on http://[::]:3838", []string{"http://[::]:3838"}},
	{"RStudio", "RStudio Server is listening on port 8787; go to http://localhost:8787", []string{"http://localhost:8787"}},
	{"plumber", "Running plumber API at http://127.0.0.1:8000", []string{"http://127.0.0.1:8000"}},
	{"plumber, docs", "Running swagger Docs at http://127.0.0.1:8000/__docs__/", []string{"http://127.0.0.1:8000/__docs__/"}},
	{"Bokeh", "2026-11-19 10:11:12,345 Bokeh app running at: http://localhost:5006/sliders", []string{"http://localhost:5006/sliders"}},
	{"Bokeh, start", "2026-11-19 10:11:12,345 Starting Bokeh server version 3.4.1 (running on Tornado 6.4)", nil},
	{"TensorBoard", "TensorBoard 2.17.0 at http://localhost:6006/ (Press CTRL+C to quit)", []string{"http://localhost:6006/"}},
	{"python http.server", "Serving HTTP on 0.0.0.0 port 9999 (http://0.0.0.0:9999/) ...", []string{"http://0.0.0.0:9999/"}},
	{"python http.server, IPv6", "Serving HTTP on :: port 9999 (http://[::]:9999/) ...", []string{"http://[::]:9999/"}},
	{"python SimpleHTTPServer", "Serving HTTP on 0.0.0.0 port 9999 ...", []string{":9999"}},
	{"nginx-basic", "Serving HTTP on port 9999 ...", []string{":9999"}},
	{"python http.server, access", `127.0.0.1 - - [19/Nov/2026 10:11:12] "GET /served/port:8080 HTTP/1.1" 200 -`, nil},
	{"expfactory", "Preview experiment at localhost:9684", []string{"localhost:9684"}},
	{"Streamlit", "  Local URL: http://localhost:8501", []string{"http://localhost:8501"}},
	{"Streamlit, network", "  Network URL: http://172.17.0.2:8501", []string{"http://172.17.0.2:8501"}},
	{"Flask", " * Running on http://127.0.0.1:5000", []string{"http://127.0.0.1:5000"}},
	{"Flask, all", " * Running on all addresses (0.0.0.0)", nil},
	{"Flask, coloured", "\x1b[31m\x1b[1mWARNING: This is a development server.\x1b[0m * Running on \x1b[1mhttp://172.17.0.2:5000\x1b[0m", []string{"http://172.17.0.2:5000"}},
	{"Flask, quit", "Press CTRL+C to quit (serving 1 app)", nil},
	{"Dash", "Dash is running on http://0.0.0.0:8050/", []string{"http://0.0.0.0:8050/"}},
	{"Gradio", "Running on local URL:  http://127.0.0.1:7860", []string{"http://127.0.0.1:7860"}},
	{"Uvicorn", "INFO:     Uvicorn running on http://0.0.0.0:8000 (Press CTRL+C to quit)", []string{"http://0.0.0.0:8000"}},
	{"Uvicorn, access", `INFO:     127.0.0.1:51234 - "GET /start HTTP/1.1" 200 OK`, nil},
	{"Uvicorn, websocket", `INFO:     ('127.0.0.1', 51234) - "WebSocket /ws" [accepted]`, nil},
	{"Gunicorn", "[2026-11-19 10:11:12 +0000] [123] [INFO] Listening at: http://0.0.0.0:8000 (123)", []string{"http://0.0.0.0:8000"}},
	{"Voilà", "[Voila] Voilà is running at: http://localhost:8866/", []string{"http://localhost:8866/"}},
	{"marimo", "        ➜  URL: http://localhost:2718?access_token=abc", []string{"http://localhost:2718?access_token=abc"}},
	{"Pluto", "└ Go to http://localhost:1234/?secret=Xy12 in your browser to start writing ~ have fun!", []string{"http://localhost:1234/?secret=Xy12"}},
	{"Vite", "  \x1b[32m➜\x1b[39m  \x1b[1mLocal\x1b[22m:   \x1b[36mhttp://localhost:\x1b[1m5173\x1b[22m/\x1b[39m", []string{"http://localhost:5173/"}},
	{"Node", "Example app listening on port 3000!", []string{":3000"}},
	{"Node, address", "Server running at http://127.0.0.1:3000/.", []string{"http://127.0.0.1:3000/"}},
	{"Next.js", "ready - started server on 0.0.0.0:3000, url: http://localhost:3000", []string{"http://localhost:3000"}},
	{"Express, number", "Listening on 5000", []string{":5000"}},
	{"Rails", "* Listening on http://[::1]:3000", []string{"http://[::1]:3000"}},
	{"Puma", "* Listening on tcp://0.0.0.0:9292", []string{"0.0.0.0:9292"}},
	{"PHP", "[Thu Nov 19 10:11:12 2026] PHP 8.2.1 Development Server (http://localhost:8000) started", []string{"http://localhost:8000"}},
	{"gin", "[GIN-debug] Listening and serving HTTP on :8080", []string{":8080"}},
	{"Spring", "Tomcat started on port(s): 8080 (http) with context path ''", []string{":8080"}},
	{"Jetty", "Started ServerConnector@2a5c8d3f{HTTP/1.1, (http/1.1)}{0.0.0.0:8080}", []string{"0.0.0.0:8080"}},
	{"OpenRefine", "10:11:12.345 [ refine_server] Starting Server bound to '127.0.0.1:3333' (0ms)", []string{"127.0.0.1:3333"}},
	{"hugo", "Web Server is available at http://localhost:1313/ (bind address 127.0.0.1) ", []string{"http://localhost:1313/"}},
	{"code-server", "[2026-11-19T10:11:12.345Z] info  HTTPS server listening on https://0.0.0.0:8443/", []string{"https://0.0.0.0:8443/"}},
	{"noVNC", "    http://c0ffee123456:6080/vnc.html?host=c0ffee123456&port=6080", []string{"http://c0ffee123456:6080/vnc.html?host=c0ffee123456&port=6080"}},
	{"Neo4j", "2026-11-19 10:11:12.345+0000 INFO  Remote interface available at http://localhost:7474/ ", []string{"http://localhost:7474/"}},
	{"PostgreSQL", `LOG:  listening on IPv4 address "0.0.0.0", port 5432`, []string{":5432"}},
	{"Redis", "Running mode=standalone, port=6379.", []string{":6379"}},
	{"MongoDB", `{"t":{"$date":"2026-11-19T10:11:12.345+00:00"},"s":"I","msg":"Waiting for connections","attr":{"port":27017,"ssl":"off"}}`, []string{":27017"}},
	{"MySQL", "mysqld: ready for connections. Version: '8.4.0'  socket: '/var/run/mysqld/mysqld.sock'  port: 3306  MySQL Community Server - GPL.", []string{":3306"}},
	{"Elasticsearch", "publish_address {172.17.0.2:9200}, bound_addresses {[::]:9200}", []string{"172.17.0.2:9200"}},
	{"hyperlink", "\x1b]8;;http://localhost:4000/\x1b\\http://localhost:4000/\x1b]8;;\x1b\\", []string{"http://localhost:4000/"}},
	{"in brackets", "open [http://localhost:4000/a(b)] now", []string{"http://localhost:4000/a(b)"}},
	{"quoted", `"url": "http://localhost:4000/x?y=1#z", "n": 1`, []string{"http://localhost:4000/x?y=1#z"}},
	{"no port, local", "see http://localhost/app", []string{"http://localhost:80/app"}},
	{"no port, far", "Documentation: https://docs.example.org/start", nil},
	{"client", "Accepted connection from 10.0.2.2:51234", nil},
	{"failure", "OSError: [Errno 98] Address already in use: ('0.0.0.0', 8888)", nil},
	{"refused", "could not connect to server: Connection refused on port 5432; is it running?", nil},
	{"time of day", "Server started at 10:22:33", nil},
	{"date", "listening on 2026-11-19", nil},
	{"version", "running on port 8.1.2 of the library", nil},
	{"port too large", "listening on port 70000, http://localhost:70000/", nil},
	{"other scheme", "ftp://localhost:2121/ ws://localhost:9000/", nil},
	{"broken", "http:// http://[ http://[::1 http://(a http://: tcp:// ://x http://localhost:/", nil},
	{"empty", "", nil},
}

func TestFindAddresses(t *testing.T) {
	for _, test := range lines {
		t.Run(test.program, func(t *testing.T) {
			var got []string
			for _, a := range FindAddresses(test.line) {
				text := a.String()
				got = append(got, text)
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("%q\n%s", test.line, d)
			}
		})
	}
}

func TestRewrite(t *testing.T) {
	for _, test := range []struct {
		line, published, want string
		local                 bool
	}{
		{"http://c0ffee123456:8888/lab?token=abc", "127.0.0.1:43210", "http://127.0.0.1:43210/lab?token=abc", false},
		{"https://0.0.0.0:8443/", "127.0.0.1:8443", "https://127.0.0.1:8443/", true},
		{"http://localhost:2718?access_token=abc", "127.0.0.1:2718", "http://127.0.0.1:2718/?access_token=abc", true},
		{"Listening on 5000", "0.0.0.0:5001", "http://127.0.0.1:5001/", true},
		{"http://[::]:3838/app/", "[::]:3838", "http://[::1]:3838/app/", true},
		{"http://[::1]:3838/app/", "[::1]:3839", "http://[::1]:3839/app/", true},
		{"http://172.17.0.2:80/x", "192.0.2.4:8080", "http://192.0.2.4:8080/x", false},
	} {
		found := FindAddresses(test.line)
		if len(found) != 1 {
			t.Errorf("%q: found %v, want one", test.line, found)
			continue
		}
		if got := Rewrite(found[0], netip.MustParseAddrPort(test.published)); got != test.want {
			t.Errorf("%q: got %s, want %s", test.line, got, test.want)
		}
		if found[0].Local() != test.local {
			t.Errorf("%q: local is %v, want %v", test.line, found[0].Local(), test.local)
		}
	}
}

func FuzzFindAddresses(f *testing.F) {
	for _, test := range lines {
		f.Add(test.line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		for _, a := range FindAddresses(line) {
			if a.Port == 0 {
				t.Errorf("%q: port 0 in %+v", line, a)
			}
			if strings.ContainsAny(Rewrite(a, netip.MustParseAddrPort("127.0.0.1:1")), " \n\x1b\"<>") {
				t.Errorf("%q: %q cannot be a URL", line, a.Path)
			}
		}
	})
}

func BenchmarkFindAddresses(b *testing.B) {
	line := "2026-11-19 10:11:12,345 INFO worker 17 finished batch 4711 of 10000 in 3.21 s, loss 0.1234"
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		FindAddresses(line)
	}
}
