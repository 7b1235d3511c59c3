package amount

import (
	"testing"
	"time"
)

func TestBytes(t *testing.T) {
	for text, want := range map[string]int64{"512M": 512 << 20, "4G": 4 << 30, "4 GB": 4 << 30, "2GiB": 2 << 30, "1.5g": 3 << 29, "1000000": 1000000, "1k": 1024, "0": 0} {
		if got, err := Bytes(text); err != nil || got != want {
			t.Errorf("Bytes(%q) = %d, %v, want %d", text, got, err, want)
		}
		if again, err := Bytes(FormatBytes(want)); err != nil || again != want {
			t.Errorf("%d is written as %q", want, FormatBytes(want))
		}
	}
	for _, text := range []string{"", "x", "-1", "nan", "1e300", "4GG", "G"} {
		if n, err := Bytes(text); err == nil {
			t.Errorf("Bytes(%q) = %d", text, n)
		}
	}
	if got := FormatBytes(3 << 29); got != "1536M" {
		t.Errorf("got %s", got)
	}
}

func TestSpan(t *testing.T) {
	for text, want := range map[string]time.Duration{"90m": 90 * time.Minute, "2h": 2 * time.Hour, "1d": 24 * time.Hour, "1d12h": 36 * time.Hour, "45s": 45 * time.Second} {
		if got, err := Span(text); err != nil || got != want {
			t.Errorf("Span(%q) = %v, %v, want %v", text, got, err, want)
		}
		if again, err := Span(FormatSpan(want)); err != nil || again != want {
			t.Errorf("%v is written as %q", want, FormatSpan(want))
		}
	}
	for _, text := range []string{"", "x", "2", "xd", "-1d"} {
		if d, err := Span(text); err == nil {
			t.Errorf("Span(%q) = %v", text, d)
		}
	}
	for d, want := range map[time.Duration]string{2 * time.Hour: "2h", 90 * time.Minute: "1h30m", time.Minute: "1m", 10 * time.Second: "10s"} {
		if got := FormatSpan(d); got != want {
			t.Errorf("%v is written as %s", d, got)
		}
	}
}

func TestLasted(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-1: "", 0: "0.0 s", 470 * time.Millisecond: "0.4 s", 9949 * time.Millisecond: "9.9 s", 10 * time.Second: "10 s", 59900 * time.Millisecond: "59 s",
		123 * time.Second: "2 min 03 s", 3720 * time.Second: "1 h 02 min", 72 * time.Hour: "3 days",
	} {
		if got := Lasted(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
