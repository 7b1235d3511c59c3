# Carrel's commands. `make run` builds the program and opens it; `make test` tests everything that this computer can test.

GO       ?= go
PREFIX   ?= /usr/local
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
COMMIT   := $(shell git log -1 --format=%H 2>/dev/null)
DATE     := $(shell git log -1 --format=%cI 2>/dev/null)
LDFLAGS  := -s -w -X main.buildVersion=$(VERSION) -X main.buildCommit=$(COMMIT) -X main.buildDate=$(DATE)
SHARE     = $(DESTDIR)$(PREFIX)/share

.PHONY: run build test torture fuzz bench lint race cover install uninstall release clean catalog screenshots FORCE

run: build
	@bin/carrel

build: bin/carrel

# The Go tool knows best whether there is anything to do.
bin/carrel: FORCE
	@mkdir -p bin
	@CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $@ ./cmd/carrel

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

# The race detector needs cgo and a C compiler. Packages whose tests start containers are left out: it cannot follow there.
RACE := ./catalog/... ./engine/definition ./engine/network/guard ./engine/network/relay ./engine/oci ./engine/share ./engine/sif \
	./engine/squashfs ./internal/download ./tui/task

race:
	@CGO_ENABLED=1 $(GO) test -race $(RACE)

# What of the engine and the catalog tests run, as the user who calls it; below 80 % it fails (scripts/cover has the exceptions).
cover:
	@CGO_ENABLED=0 $(GO) run ./scripts/cover

# LINKS=1: also under the names singularity, apptainer and run-singularity, where nothing else has them.
NAMES := singularity apptainer run-singularity

install: build
	install -D -m 0755 bin/carrel $(DESTDIR)$(PREFIX)/bin/carrel
	@mkdir -p $(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions $(SHARE)/fish/vendor_completions.d $(SHARE)/man
	bin/carrel completion bash > $(SHARE)/bash-completion/completions/carrel
	bin/carrel completion zsh > $(SHARE)/zsh/site-functions/_carrel
	bin/carrel completion fish > $(SHARE)/fish/vendor_completions.d/carrel.fish
	bin/carrel man-pages $(SHARE)/man
	@mkdir -p $(SHARE)/doc/carrel/docs/pictures
	@install -m 0644 README.md LICENSE SECURITY.md ARCHITECTURE.md $(SHARE)/doc/carrel
	@install -m 0644 docs/*.md $(SHARE)/doc/carrel/docs
	@install -m 0644 docs/pictures/* $(SHARE)/doc/carrel/docs/pictures
	@$(if $(LINKS),cd $(DESTDIR)$(PREFIX)/bin && for n in $(NAMES); do \
		if [ "$$(readlink $$n)" = carrel ]; then :; \
		elif [ -e $$n ] || [ -L $$n ]; then echo "$(DESTDIR)$(PREFIX)/bin/$$n is there already and not Carrel's: it stays as it is" >&2; \
		else ln -s carrel $$n && echo "$(DESTDIR)$(PREFIX)/bin/$$n -> carrel"; fi; done)

uninstall:
	@cd $(DESTDIR)$(PREFIX)/bin 2>/dev/null || exit 0; for n in $(NAMES); do if [ "$$(readlink $$n)" = carrel ]; then rm -f $$n; fi; done
	rm -f $(DESTDIR)$(PREFIX)/bin/carrel $(SHARE)/bash-completion/completions/carrel $(SHARE)/zsh/site-functions/_carrel \
		$(SHARE)/fish/vendor_completions.d/carrel.fish $(SHARE)/man/man1/carrel.1 $(SHARE)/man/man1/carrel-*.1 $(SHARE)/man/man7/carrel-*.7
	rm -rf $(SHARE)/doc/carrel

# dist/: static binaries for amd64 and arm64, built twice and compared, with packages, SBOM, licences and checksums.
release:
	@$(GO) run ./scripts/release

clean:
	rm -rf bin dist

catalog:
	@$(GO) run ./scripts/catalog

# The pictures of docs/tutorial.md, from the program itself; IMAGE=FILE: an image of nginx-jupyter that is there.
screenshots: build
	@$(GO) run ./scripts/screenshots $(if $(IMAGE),-image $(IMAGE))
