package browser

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// ErrMissing is a computer without Chromium or ChromeDriver.
var ErrMissing = errors.New("missing: chromium")

// A Browser is a Chromium with one window.
type Browser struct {
	driver  *exec.Cmd
	session string // address of the session
	profile string
	client  http.Client
	drained chan struct{}
}

// Options of a browser.
type Options struct {
	Width, Height int    // of the window, in pixels; 0 is 1280 by 800
	Language      string // of the pages, such as "de"; empty is English
}

var started = regexp.MustCompile(`started successfully on port (\d+)`)

// Start starts a browser; Close ends it. The error is ErrMissing where there is none. ctx bounds the browser's life.
func Start(ctx context.Context, o Options) (*Browser, error) {
	chromium, driver := look("chromium", "chromium-browser", "google-chrome"), look("chromedriver")
	if chromium == "" || driver == "" {
		return nil, ErrMissing
	}
	if o.Width == 0 || o.Height == 0 {
		o.Width, o.Height = 1280, 800
	}
	if o.Language == "" {
		o.Language = "en"
	}
	profile, err := os.MkdirTemp("", "browser-")
	if err != nil {
		return nil, err
	}
	b := &Browser{driver: exec.CommandContext(ctx, driver, "--port=0"), profile: profile, drained: make(chan struct{})}
	// A group of its own, so that what the driver started ends with it; and a home that is nobody's.
	b.driver.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	b.driver.Cancel = func() error { return syscall.Kill(-b.driver.Process.Pid, syscall.SIGKILL) }
	b.driver.Env = append(os.Environ(), "HOME="+profile, "XDG_CONFIG_HOME="+profile, "XDG_CACHE_HOME="+profile)
	out, err := b.driver.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(profile))
	}
	if err := b.driver.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", driver, err), os.RemoveAll(profile))
	}
	lines := bufio.NewScanner(out)
	port := ""
	for port == "" && lines.Scan() {
		if m := started.FindStringSubmatch(lines.Text()); m != nil {
			port = m[1]
		}
	}
	go func() {
		defer close(b.drained)
		_, _ = io.Copy(io.Discard, out) // so that the driver can go on writing
	}()
	if port == "" {
		return nil, errors.Join(errors.New("start chromedriver: it named no port"), b.Close())
	}
	args := []string{
		"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server", "--hide-scrollbars", "--lang=" + o.Language, "--user-data-dir=" + profile + "/profile",
		fmt.Sprintf("--window-size=%d,%d", o.Width, o.Height),
	}
	var made struct {
		SessionID string `json:"sessionId"`
	}
	b.session = "http://127.0.0.1:" + port
	err = b.call(ctx, http.MethodPost, "/session", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{
		"goog:chromeOptions": map[string]any{"binary": chromium, "args": args},
		"timeouts":           map[string]any{"script": 120_000, "pageLoad": 60_000},
	}}}, &made)
	if err != nil {
		b.session = ""
		return nil, errors.Join(fmt.Errorf("start %s: %w", chromium, err), b.Close())
	}
	b.session += "/session/" + made.SessionID
	return b, nil
}

// look finds the first of several programs.
func look(names ...string) string {
	for _, n := range names {
		if path, err := exec.LookPath(n); err == nil {
			return path
		}
	}
	return ""
}

// Close ends the browser and everything it started, and removes what it wrote.
func (b *Browser) Close() error {
	if b.session != "" {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = b.call(ctx, http.MethodDelete, "", nil, nil) // what does not end so is killed below
	}
	_ = syscall.Kill(-b.driver.Process.Pid, syscall.SIGKILL) // gone already is well
	<-b.drained
	_ = b.driver.Wait() // killed
	return os.RemoveAll(b.profile)
}

// call speaks to the driver. Answers are objects with a value; errors have a name and a message in it.
func (b *Browser) call(ctx context.Context, method, path string, body, into any) error {
	var content io.Reader
	if method == http.MethodPost {
		if body == nil {
			body = struct{}{}
		}
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, b.session+path, content)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	resp, err := b.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct{ Value json.RawMessage }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("webdriver %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		var failure struct{ Error, Message string }
		if err := json.Unmarshal(answer.Value, &failure); err != nil {
			return fmt.Errorf("webdriver %s: %s", path, resp.Status)
		}
		first, _, _ := strings.Cut(failure.Message, "\n")
		return fmt.Errorf("webdriver %s: %s: %s", path, failure.Error, first)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer.Value, into)
}

// Open goes to an address and returns when the page has loaded.
func (b *Browser) Open(ctx context.Context, url string) error {
	return b.call(ctx, http.MethodPost, "/url", map[string]any{"url": url}, nil)
}

// Run runs the body of a JavaScript function in the page. What it returns, or what the promise it returns is kept with, goes
// to into, as JSON; nil where it does not matter. The function finds args in arguments.
func (b *Browser) Run(ctx context.Context, script string, into any, args ...any) error {
	if args == nil {
		args = []any{}
	}
	return b.call(ctx, http.MethodPost, "/execute/sync", map[string]any{"script": script, "args": args}, into)
}

// WaitFor returns when an expression is true in the page. It asks again while ctx lasts, also across page loads.
func (b *Browser) WaitFor(ctx context.Context, expression string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var is bool
		err := b.Run(ctx, "return Boolean("+expression+")", &is)
		if err == nil && is {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("wait for %s: %w", expression, ctx.Err()), err)
		case <-tick.C:
		}
	}
}

// Click clicks the first element of a CSS selector, with the mouse as people do: not before there is something to be seen.
// What is clicked before a page's first frame, Chromium drops.
func (b *Browser) Click(ctx context.Context, selector string) error {
	if err := b.WaitFor(ctx, `performance.getEntriesByType("paint").length > 0`); err != nil {
		return err
	}
	var element map[string]string
	if err := b.call(ctx, http.MethodPost, "/element", map[string]any{"using": "css selector", "value": selector}, &element); err != nil {
		return err
	}
	for _, id := range element {
		return b.call(ctx, http.MethodPost, "/element/"+id+"/click", nil, nil)
	}
	return fmt.Errorf("click %s: the driver named no element", selector)
}

// Screenshot is a picture of the window, as PNG.
func (b *Browser) Screenshot(ctx context.Context) ([]byte, error) {
	var text string
	if err := b.call(ctx, http.MethodGet, "/screenshot", nil, &text); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(text)
}

// ForgetCookies makes the browser one that has not seen the current page's host before (WebDriver, "Delete All Cookies").
func (b *Browser) ForgetCookies(ctx context.Context) error {
	return b.call(ctx, "DELETE", "/cookie", nil, nil)
}

// OnEveryPage runs a script in every page from now on, before its own scripts. It takes a command of Chromium's own
// (Chrome DevTools Protocol, Page.addScriptToEvaluateOnNewDocument), since WebDriver has none for it.
func (b *Browser) OnEveryPage(ctx context.Context, script string) error {
	return b.call(ctx, http.MethodPost, "/goog/cdp/execute", map[string]any{
		"cmd": "Page.addScriptToEvaluateOnNewDocument", "params": map[string]any{"source": script},
	}, nil)
}
