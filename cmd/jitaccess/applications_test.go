package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"jitaccess/internal/application"
	"jitaccess/internal/policy"
)

const (
	oneKey     = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	anotherKey = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"
)

// places are where the keys of the tests are kept: what is there, or why it cannot be read. What
// hangs answers nothing until it no longer does.
type places struct {
	mu    sync.Mutex
	texts map[string]string
	fails map[string]error
	hangs map[string]chan struct{}
	deaf  bool // what hangs does not hear of the end of a context, such as a file of a network
	reads map[string]int
	log   lockedBuffer
}

func (p *places) set(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
}

// readsOf is how often a place was read.
func (p *places) readsOf(place string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reads[place]
}

func (p *places) read(ctx context.Context, place string) ([]byte, error) {
	p.mu.Lock()
	p.reads[place]++
	text, err, hangs, deaf := p.texts[place], p.fails[place], p.hangs[place], p.deaf
	p.mu.Unlock()
	if hangs != nil {
		over := ctx.Done()
		if deaf {
			over = nil
		}
		select {
		case <-hangs:
		case <-over:
			return nil, ctx.Err()
		}
	}
	return []byte(text), err
}

// keysKept are applications, each with the places of its keys.
func keysKept(at map[string][]string) (*applications, *places) {
	p := &places{texts: map[string]string{}, fails: map[string]error{}, hangs: map[string]chan struct{}{}, reads: map[string]int{}}
	file := &policy.File{}
	for name, places := range at {
		file.Applications = append(file.Applications, policy.Application{SigningKeys: places,
			Application: application.Application{Name: name, URI: "https://" + name + ".example.com", Active: true}})
		for _, place := range places {
			p.texts[place] = oneKey
		}
	}
	return &applications{now: time.Now, kept: map[string]*keptPlace{}, file: func() *policy.File { return file }, configured: true,
		read: p.read, log: slog.New(slog.NewTextHandler(&p.log, nil))}, p
}

// keysOf are the keys of one application, and how long it takes to know them.
func keysOf(t *testing.T, a *applications, name string) (keys []application.Key, took time.Duration, err error) {
	t.Helper()
	begun := time.Now()
	all, err := a.Applications(t.Context())
	if err != nil {
		t.Error(err)
	}
	for _, one := range all {
		if one.Name == name {
			keys, err = one.Keys(t.Context())
		}
	}
	return keys, time.Since(begun), err
}

// A place that does not answer keeps nobody waiting but the application whose key is there, and
// that no longer than it takes to find out.
func TestOneKeyThatHangsDelaysNobodyElse(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			a, p := keysKept(map[string][]string{"broken": {"projects/p/secrets/a/versions/1", "projects/p/secrets/b/versions/1"}, "good": {"good"}})
			never := make(chan struct{})
			defer close(never)
			p.set(func() {
				p.hangs["projects/p/secrets/a/versions/1"], p.hangs["projects/p/secrets/b/versions/1"], p.deaf = never, never, deaf
			})
			go keysOf(t, a, "broken")
			synctest.Wait()
			for range 100 {
				if keys, took, err := keysOf(t, a, "good"); len(keys) != 1 || took > 0 || err != nil {
					t.Fatalf("the good one: %d keys after %s, %v", len(keys), took, err)
				}
				if all, err := a.Applications(t.Context()); len(all) != 2 || err != nil {
					t.Fatal(all, err)
				}
				time.Sleep(time.Second)
			}
			// It hears at once that its keys are not known, and its places are not read by many.
			if keys, took, err := keysOf(t, a, "broken"); len(keys) != 0 || took > 0 || err == nil {
				t.Errorf("the broken one: %d keys after %s, %v", len(keys), took, err)
			}
			if reads := p.readsOf("projects/p/secrets/a/versions/1"); reads > 8 {
				t.Errorf("its place was read %d times in a minute and a half", reads)
			}
			if !strings.Contains(p.log.String(), "projects/p/secrets/a/versions/1") {
				t.Errorf("the log does not name the place: %s", p.log.String())
			}
		})
	}
}

// A key that was known serves on while its place cannot be read, for an hour, without a wait; one
// that is taken away is no key.
func TestTheLastGoodKeyIsKept(t *testing.T) {
	for what, c := range map[string]struct {
		trouble func(p *places, never chan struct{})
		kept    bool
	}{
		"it hangs":          {func(p *places, never chan struct{}) { p.hangs["key"] = never }, true},
		"it cannot be read": {func(p *places, _ chan struct{}) { p.fails["key"] = errors.New("input/output error") }, true},
		"it is no key":      {func(p *places, _ chan struct{}) { p.texts["key"] = "AAAA" }, true},
		"it is gone": {func(p *places, _ chan struct{}) {
			p.fails["key"] = &fs.PathError{Op: "open", Path: "key", Err: fs.ErrNotExist}
		}, false},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, p := keysKept(map[string][]string{"deployer": {"key"}})
				if keys, _, err := keysOf(t, a, "deployer"); len(keys) != 1 || err != nil {
					t.Fatal(keys, err)
				}
				never := make(chan struct{})
				p.set(func() { c.trouble(p, never) })
				time.Sleep(fileKeyTime)
				if keys, took, err := keysOf(t, a, "deployer"); len(keys) == 1 != c.kept || (err == nil) != c.kept || took > keyReadTime {
					t.Fatalf("%d keys after %s, %v", len(keys), took, err)
				}
				for range 50 {
					time.Sleep(time.Minute)
					if keys, took, err := keysOf(t, a, "deployer"); len(keys) == 1 != c.kept || took > 0 || (err == nil) != c.kept {
						t.Fatalf("later: %d keys after %s, %v", len(keys), took, err)
					}
				}
				if !strings.Contains(p.log.String(), "cannot be read") {
					t.Errorf("nothing is said of it: %s", p.log.String())
				}
				time.Sleep(10 * time.Minute)
				if keys, took, err := keysOf(t, a, "deployer"); len(keys) != 0 || took > 0 || err == nil {
					t.Errorf("after more than an hour: %d keys after %s, %v", len(keys), took, err)
				}
				// Once it is there again, it is what is there.
				close(never)
				p.set(func() {
					clear(p.fails)
					clear(p.hangs)
					p.texts["key"] = anotherKey
				})
				time.Sleep(failedKeyTime)
				keysOf(t, a, "deployer")
				synctest.Wait()
				if keys, _, err := keysOf(t, a, "deployer"); len(keys) != 1 || keys[0].Secret[0] != 1 || err != nil {
					t.Errorf("afterwards: %v, %v", keys, err)
				}
			})
		})
	}
}

// A file is read anew each minute, and so is a version that is a name for others; a version with a
// number is what it was.
func TestAKeyIsReadAnewWhereItMayHaveChanged(t *testing.T) {
	for place, anew := range map[string]bool{"/etc/key": true, "projects/p/secrets/s/versions/latest": true, "projects/p/secrets/s/versions/alias": true,
		"projects/p/secrets/s/versions/7": false} {
		synctest.Test(t, func(t *testing.T) {
			a, p := keysKept(map[string][]string{"deployer": {place}})
			for range 10 {
				keysOf(t, a, "deployer")
			}
			p.set(func() { p.texts[place] = anotherKey })
			time.Sleep(fileKeyTime)
			keys, _, err := keysOf(t, a, "deployer")
			if err != nil || len(keys) != 1 || (keys[0].Secret[0] == 1) != anew || p.readsOf(place) != map[bool]int{true: 2, false: 1}[anew] {
				t.Errorf("%s: %v, %v after %d reads", place, keys, err, p.readsOf(place))
			}
		})
	}
}
