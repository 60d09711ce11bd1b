package main

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A process starts in milliseconds, each time that somebody's request brings an instance up. So
// what is read and compiled before anything is asked for is bounded, in bytes that are allocated:
// those are the same on every machine.
func TestLittleIsDoneBeforeTheStart(t *testing.T) {
	const most, mostOfAll = 40_000 * allocating, 150_000 * allocating
	c := exec.Command(os.Args[0], "-test.run", "^$")
	c.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatal(err, string(out))
	}
	total, packages := 0, 0
	for _, line := range regexp.MustCompile(`(?m)^init (jitaccess/internal/\S+) .* (\d+) bytes`).FindAllStringSubmatch(string(out), -1) {
		if strings.HasSuffix(line[1], "test") {
			continue
		}
		n, _ := strconv.Atoi(line[2])
		if total, packages = total+n, packages+1; n > most {
			t.Errorf("%s allocates %d bytes before the start", line[1], n)
		}
	}
	if total > mostOfAll || packages < 20 {
		t.Errorf("%d packages allocate %d bytes before the start", packages, total)
	}
}
