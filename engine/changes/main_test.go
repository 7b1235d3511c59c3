package changes

import (
	"testing"

	"carrel/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
