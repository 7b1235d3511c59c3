package instance

import (
	"runtime"
	"runtime/debug"
)

// lean makes the runtime small: a supervisor does little, for a long time.
func lean() {
	runtime.GOMAXPROCS(min(runtime.GOMAXPROCS(0), 2))
	debug.SetGCPercent(50)
}
