# make run     try it: http://localhost:8080, everything included
# make test    everything that CI runs; installs what the tests need
# make check   format, imports, length of lines, vet, staticcheck, layering, go.mod, generated documents
# make bench   the benchmarks; writes docs/performance.md
# make soak    an hour of an organization's traffic, one person of it hostile, in SOAKTIME
# make model   the model of a request, and that it finds the fault without each safeguard
# make fuzz    every fuzz target for FUZZTIME
# make plans   the examples of Terraform, applied against a stand-in for Google; needs Terraform
# make mutants every safeguard taken out in turn, and which test notices; MUTANTS chooses by name
# make screenshots  the README's pictures, from the sandbox
# make build   bin/jitaccess, static
# make image   the container image, with BUILDER
# make images  the container image for amd64 and arm64, without a container daemon
# make release what is published of a version, signed with RELEASE_KEY; see docs/releases.md
# make reproducible  everything compiled twice, from nothing, in two folders: one digest?
# make vulnerabilities  which known ones are reachable; asks https://vuln.go.dev, or VULNDB

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: run test check fmt imports length vet lint layering documents tidy packages bench soak model fuzz plans mutants screenshots build image images release sign reproducible \
	modules vulnerabilities clean

# Go where its installer puts it counts, also when it is not in the path.
export PATH := $(PATH):/usr/local/go/bin
# Without a home, go does not know where its caches are.
ifeq ($(HOME),)
export HOME := $(shell getent passwd "$$(id -u)" | cut -d: -f6)
endif

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
BUILDER ?= docker
IMAGE ?= jitaccess
# Of which commit what is published is, and of when; a source without git is told.
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null)
COMMIT_TIME ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
DIST ?= dist/$(VERSION)
# The private key of OpenSSH that releases are signed with.
RELEASE_KEY ?=
VULNDB ?=
FUZZTIME ?= 30s
# How long the soak test runs; half of it without the hostile one. See docs/testing.md.
SOAKTIME ?= 10m
# How many pairs of approvals at the same time and how many writes of policies it makes; see
# docs/reliability.md.
PAIRS ?= 100000
WRITES ?= 1000000
# Which safeguards make mutants takes out, as a regular expression over their names.
MUTANTS ?= .
# How long a benchmark runs, and how often; see docs/performance.md.
BENCHTIME ?= 1s
BENCHCOUNT ?= 5

# gcc and the C library are for the race detector and the model's checker, spin is for the model, the others for tests with a real database, real
# mail servers, a real proxy, a second verifier of signatures, programs in other languages, shells, a real browser and a real OAuth server.
# Where npm comes from elsewhere, Debian's would be in conflict with it.
PACKAGES := apache2 ca-certificates chromium dovecot-imapd fish gcc libapache2-mod-auth-openidc libc6-dev libsasl2-modules openssh-client postfix postgresql python3-cryptography python3-dkim python3-jwt \
	python3-venv sasl2-bin spin zsh \
	$(if $(shell command -v npm),,nodejs npm)
OAUTH_SERVER := internal/oauth/testdata
PROGRAMS := cmd/jitaccess/testdata/programs
AXE := internal/chromiumtest/testdata
SCHEMATHESIS := cmd/jitaccess/testdata/schemathesis

run:
	go run ./cmd/jitaccess sandbox $(if $(ADDRESS),--address $(ADDRESS)) $(if $(POLICY),--policy $(POLICY))

# The seeds of the fuzz targets run as tests.
test: packages $(OAUTH_SERVER)/node_modules/.package-lock.json $(PROGRAMS)/node_modules/.package-lock.json $(AXE)/node_modules/.package-lock.json $(SCHEMATHESIS)/venv/.installed check
	go test -race -v -timeout 40m ./... 2>&1 | awk -f .ci/report.awk

packages:
	.ci/packages $(PACKAGES)

%/node_modules/.package-lock.json: %/package-lock.json | packages
	cd $* && npm ci --silent

# What is installed is what the lock has the digests of; nothing is built.
%/venv/.installed: %/requirements.txt | packages
	rm -rf $(@D)
	/usr/bin/python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --requirement $<
	touch $@

check: fmt imports length vet lint layering documents tidy modules

fmt:
	@unformatted=$$(gofmt -l cmd deploy docs internal web); \
	if [ -n "$$unformatted" ]; then echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; fi

# Imports are of the standard library, of others, of this module: a group each.
imports:
	@ungrouped=$$(go tool goimports -local jitaccess -l cmd deploy docs internal web); \
	if [ -n "$$ungrouped" ]; then echo "imports are not grouped (go tool goimports -local jitaccess -w FILE):"; echo "$$ungrouped"; exit 1; fi

# Code is read in windows beside one another. Tests hold what others say, in one piece.
# The organization and the roles of the sandbox are data, as stories are.
length:
	@if LC_ALL=C.UTF-8 grep -rnE --include='*.go' --exclude='*_test.go' --exclude-dir=testdata --exclude-dir=sandbox --exclude-dir=storybook '^.{141}' cmd docs internal web | cut -c1-160 | grep .; \
	then echo "lines are longer than 140 columns"; exit 1; fi

vet:
	go vet ./...

lint:
	go tool staticcheck ./...

layering:
	go test -run '^TestLayering' ./cmd/jitaccess

documents:
	go test -run '^TestDocumentation' ./internal/config

tidy:
	go mod tidy -diff

# What of govulncheck needs no database, since a check asks no other machine: the modules are those
# of go.sum, and which of them the program is linked of can be read from it.
modules: build
	go mod verify
	@linked=$$(go tool govulncheck -mode=extract bin/jitaccess | grep -o '"Path":"[^"]*","Version":"v' | sort -u | wc -l); \
	[ "$$linked" -gt 0 ] || { echo "govulncheck reads no modules from bin/jitaccess"; exit 1; }; \
	echo "NOT RUN: whether any of the $$linked modules in the program has a known vulnerability; make vulnerabilities asks https://vuln.go.dev"

vulnerabilities:
	go tool govulncheck $(if $(VULNDB),-db $(VULNDB)) ./cmd/jitaccess

# Benchmarks run one after the other.
bench: build
	go test -timeout 30m -run '^$$' -bench . -benchtime $(BENCHTIME) -count $(BENCHCOUNT) -benchmem ./... | tee bin/benchmarks.txt
	go test -run '^TestPerformanceDocument$$' ./cmd/jitaccess -benchmarks '$(CURDIR)/bin/benchmarks.txt'

# The short form of it, half a minute, is among the tests; so is a thousandth of PAIRS and WRITES.
soak:
	go test -count=1 -v -timeout 60m -run '^TestSoak$$' ./internal/soak -soak $(SOAKTIME)
	go test -count=1 -v -timeout 180m ./internal/load -pairs $(PAIRS) -writes $(WRITES) -histories 5000 -failover 300

# It is among the tests too.
model:
	.ci/packages spin gcc libc6-dev
	go test -count=1 -v ./internal/model

# A target may spend no more than a moment on making an input of interest shorter; by
# default that is a minute each, which can be the whole of FUZZTIME. One that fails
# does not keep the others from running.
fuzz:
	@failed=; while IFS=: read -r file target; do \
		target=$${target#func }; target=$${target%%(*}; \
		echo "$$target in $$(dirname "$$file")"; \
		go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1000x "./$$(dirname "$$file")" </dev/null || failed+=" $$target"; \
	done < <(grep -r --include='*_test.go' '^func Fuzz' cmd internal web | sort); \
	if [ -n "$$failed" ]; then echo "failed:$$failed"; exit 1; fi

# The stand-in is a module of its own, built for this alone.
plans:
	go test -count=1 -v -run '^TestPlans$$' ./deploy -plans

mutants:
	go test -timeout 60m -run '^TestMutants$$' -v ./cmd/jitaccess -mutants '$(MUTANTS)'

# At a given time, so that two runs make the same pictures where the browser and its fonts are.
screenshots:
	.ci/packages chromium
	mkdir -p docs/pictures
	go test -count=1 -run '^TestPictures$$' ./cmd/jitaccess -pictures '$(CURDIR)/docs/pictures'

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/jitaccess ./cmd/jitaccess

image:
	$(BUILDER) build --build-arg VERSION=$(VERSION) -t $(IMAGE) .

images:
	go run ./cmd/release --image --version $(VERSION) --revision "$(REVISION)" --time $(COMMIT_TIME) --out $(DIST)

# It takes a tagged commit and no work that is not committed, and begins in an empty folder. It builds from a copy of
# that commit: a file that git ignores, or was told to overlook, would be built in, as would what a workspace says that
# somebody else puts where temporary folders are.
release:
	@case "$(VERSION)" in *-dirty|dev) echo "VERSION is $(VERSION): commit, and tag the commit"; exit 1;; esac
	@[ -f "$(RELEASE_KEY)" ] || { echo "RELEASE_KEY must be the file of a private key of OpenSSH: docs/releases.md"; exit 1; }
	@[ ! -e $(DIST) ] || { echo "$(DIST) is there already: take it away first"; exit 1; }
	@tagged=$$(git rev-parse --quiet --verify "refs/tags/$(VERSION)^{commit}" 2>/dev/null) || { echo "there is no tag $(VERSION): tag the commit"; exit 1; }; \
	[ "$$tagged" = "$(REVISION)" ] || { echo "the tag $(VERSION) is another commit ($$tagged): check that out"; exit 1; }; \
	[ -z "$$(git status --porcelain)" ] || { echo "there is work that is not committed: commit it, or take it away"; exit 1; }
	@copy=$$(mktemp -d); trap 'rm -rf "$$copy"' EXIT; \
	git clone --quiet --no-local --no-checkout . "$$copy/source"; cd "$$copy/source"; git checkout --quiet --detach $(REVISION); \
	GOWORK=off go run ./cmd/release --version $(VERSION) --revision "$(REVISION)" --time $(COMMIT_TIME) --out $(abspath $(DIST))
	@for archive in $(DIST)/*.tar.gz; do \
		program=$$(mktemp -d); tar -xzf $$archive -C $$program; \
		go tool -modfile=.ci/sbom/go.mod cyclonedx-gomod bin -json -licenses -std -noserial -notimestamp -version $(VERSION) \
			-output $${archive%.tar.gz}.cdx.json $$program/jitaccess; \
		rm -r $$program; \
	done
	$(MAKE) -s sign VERSION=$(VERSION) DIST=$(DIST) RELEASE_KEY=$(RELEASE_KEY)

# One signature for all files, over their checksums.
sign:
	cd $(DIST) && rm -f SHA256SUMS SHA256SUMS.sig && LC_ALL=C sha256sum -- * >../SHA256SUMS.new && mv ../SHA256SUMS.new SHA256SUMS
	ssh-keygen -q -Y sign -f $(RELEASE_KEY) -n file $(DIST)/SHA256SUMS

reproducible:
	go test -count=1 -v -timeout 60m -run '^TestTwoBuildsHaveOneDigest$$' ./cmd/release -afresh

clean:
	rm -rf bin
