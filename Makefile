# Carrel's commands. `make run` builds the program and opens it; `make test` tests everything that this computer can test.

GO       ?= go
PREFIX   ?= /usr/local
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
LDFLAGS  := -s -w -X main.buildVersion=$(VERSION)

.PHONY: run build test torture fuzz bench lint install clean catalog FORCE

run: build
	@bin/carrel

build: bin/carrel

# The Go tool knows best whether there is anything to do.
bin/carrel: FORCE
	@mkdir -p bin
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/carrel

FORCE:

test:
	@$(GO) run ./internal/testrun

# Kills and faults, as everybody whom `make test` knows; KILLS=N, SEED=N (go doc ./internal/torture).
torture:
	@CARREL_TORTURE=$(or $(KILLS),200) CARREL_TORTURE_SEED=$(SEED) CARREL_TEST_TIMEOUT=3h $(GO) run ./internal/testrun ./internal/torture

# Every fuzz target in turn, FUZZTIME=60s for each.
fuzz:
	@FUZZTIME=$(FUZZTIME) GO='$(GO)' ./.ci/fuzz

# The benchmarks of the packages, then Carrel beside its peers (docs/benchmarks.md); BENCH=quick or BENCH=start,pack: a part of the latter.
bench: build
	@$(if $(BENCH),,CGO_ENABLED=0 $(GO) test -run '^$$' -bench . -benchtime 3x ./...)
	@CGO_ENABLED=0 $(GO) run ./internal/bench

lint:
	@./.ci/lint

install: build
	install -D -m 0755 bin/carrel $(DESTDIR)$(PREFIX)/bin/carrel
	@mkdir -p $(addprefix $(DESTDIR)$(PREFIX)/share/,bash-completion/completions zsh/site-functions fish/vendor_completions.d)
	bin/carrel completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/carrel
	bin/carrel completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_carrel
	bin/carrel completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/carrel.fish

clean:
	rm -rf bin

catalog:
	@$(GO) run ./scripts/catalog
