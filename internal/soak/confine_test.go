package soak_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// memoryLimit is what the service has as it is deployed (deploy/cloudrun.yaml).
const memoryLimit = 256 << 20

var inCgroup = flag.Bool("cgroup", true, "limit the memory by a cgroup, where one can be had")

// confinement is a cgroup with a memory limit, for one process.
type confinement struct {
	dir string
	// killed names the file and the field in it that counts processes that were
	// killed for want of memory.
	killedFile, killedField string
}

// confine makes a cgroup below the test's own, of version 1 or 2; nil where there is
// none to be had, and why.
func confine(t *testing.T) (*confinement, error) {
	if !*inCgroup {
		return nil, errors.New("not wanted")
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("jitaccess-soak-%d", os.Getpid())
	var why []error
	for line := range strings.Lines(string(own)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		var c *confinement
		switch {
		case strings.Contains(","+parts[1]+",", ",memory,"):
			c, err = confineV1(filepath.Join("/sys/fs/cgroup/memory", parts[2], name))
		case parts[1] == "":
			c, err = confineV2("/sys/fs/cgroup", parts[2], name)
		default:
			continue
		}
		if err == nil {
			t.Cleanup(func() { c.remove(t) })
			return c, nil
		}
		why = append(why, err)
	}
	return nil, errors.Join(append(why, errors.New("no cgroup with a memory limit"))...)
}

func confineV1(dir string) (*confinement, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	c := &confinement{dir, "memory.oom_control", "oom_kill"}
	if err := c.write("memory.limit_in_bytes", memoryLimit); err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	// Absent where the kernel does not account for swap.
	if err := c.write("memory.memsw.limit_in_bytes", memoryLimit); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(err, os.Remove(dir))
	}
	return c, nil
}

// confineV2 takes the nearest group, from the test's own up to the root, that lets
// its children have the memory controller: one with processes of its own may not.
func confineV2(root, own, name string) (*confinement, error) {
	for at := filepath.Join(root, own); ; at = filepath.Dir(at) {
		enabled, err := os.ReadFile(filepath.Join(at, "cgroup.subtree_control"))
		if err == nil && strings.Contains(" "+strings.TrimSpace(string(enabled))+" ", " memory ") {
			dir := filepath.Join(at, name)
			if err := os.Mkdir(dir, 0o755); err == nil {
				c := &confinement{dir, "memory.events", "oom_kill"}
				err := c.write("memory.max", memoryLimit)
				if err == nil {
					if swap := c.write("memory.swap.max", 0); !errors.Is(swap, os.ErrNotExist) {
						err = swap
					}
				}
				if err == nil {
					return c, nil
				}
				return nil, errors.Join(err, os.Remove(dir))
			}
		}
		if at == root || len(at) <= len(root) {
			return nil, fmt.Errorf("no group above %s may have one with a memory limit", own)
		}
	}
}

func (c *confinement) write(file string, value int) error {
	return os.WriteFile(filepath.Join(c.dir, file), fmt.Append(nil, value), 0)
}

// command is how a program is started inside, from its first instruction on.
func (c *confinement) command(program string, args ...string) []string {
	return append([]string{"/bin/sh", "-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(c.dir, "cgroup.procs"), program}, args...)
}

// killed is how many processes the kernel killed for want of memory.
func (c *confinement) killed() int {
	text, err := os.ReadFile(filepath.Join(c.dir, c.killedFile))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var n int
		if _, err := fmt.Sscanf(line, c.killedField+" %d", &n); err == nil {
			return n
		}
	}
	return 0
}

// remove waits for a moment until the kernel has let go of the last process.
func (c *confinement) remove(t *testing.T) {
	deadline := time.Now().Add(5 * time.Second)
	for {
		err := os.Remove(c.dir)
		if err == nil || errors.Is(err, os.ErrNotExist) {
			return
		}
		if !errors.Is(err, syscall.EBUSY) || time.Now().After(deadline) {
			t.Errorf("the cgroup %s stays behind: %v", c.dir, err)
			return
		}
		<-time.After(10 * time.Millisecond)
	}
}
