package resourcemanager_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/resourcemanager"
)

// The look and the write after it read the policy once; the next action, and
// whoever comes after the write, read it again.
func TestAnActionReadsItsPolicyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGoogle(t, foreign)
		client := clientOf(g)
		action := time.Now()
		for range 2 {
			if _, err := client.GetIamPolicy(t.Context(), shop, action); err != nil {
				t.Fatal(err)
			}
		}
		grant := grantTo("alice@example.com", idA, "roles/run.admin")
		if _, err := resourcemanager.NewGranter(client, standings{}).Grant(t.Context(), grant, query(grant), fine); err != nil || g.reads != 1 || g.made != 1 {
			t.Errorf("%v, %d reads, %d made", err, g.reads, g.made)
		}
		if p, err := client.GetIamPolicy(t.Context(), shop, action); err != nil || g.reads != 2 || len(p.Bindings()) != 2 {
			t.Errorf("after the write: %v, %d reads", err, g.reads)
		}
		time.Sleep(time.Second)
		client.GetIamPolicy(t.Context(), shop, time.Now())
		client.GetIamPolicy(t.Context(), shop, time.Time{})
		if g.reads != 4 {
			t.Errorf("%d reads, want one for each action and one for whoever is in none", g.reads)
		}
	})
}

// Threats, row 6: somebody changed the policy between the look and the write. The
// etag says so, and the check is made again on what stands there now.
func TestThreat06_WhatWasReadBeforeAChangeIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGoogle(t, foreign)
		client := clientOf(g)
		action := time.Now()
		if _, err := client.GetIamPolicy(t.Context(), shop, action); err != nil {
			t.Fatal(err)
		}
		g.change(`{"role":"roles/x","members":["user:zoe@example.com"]}`)
		refused := &access.Error{Kind: access.NotAllowed, Code: access.CodeRequesterLost}
		checks := 0
		grant := grantTo("alice@example.com", idA, "roles/run.admin")
		_, err := resourcemanager.NewGranter(client, standings{}).Grant(t.Context(), grant, query(grant), func(access.Standing) error {
			if checks++; checks == 2 {
				return refused
			}
			return nil
		})
		if !errors.Is(err, refused) || checks != 2 || g.made != 0 || g.reads != 2 {
			t.Errorf("%v, %d checks, %d made, %d reads", err, checks, g.made, g.reads)
		}
	})
}

// Who reads while a write is under way may see the policy of before; nobody sees it
// after the write.
func TestWhatIsReadDuringAWriteIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGoogle(t, foreign)
		client := clientOf(g)
		action := time.Now()
		read := func() int {
			p, err := client.GetIamPolicy(t.Context(), shop, action)
			if err != nil {
				t.Fatal(err)
			}
			return len(p.Bindings())
		}
		g.onWrite = func(int, string) *fault {
			g.mu.Unlock()
			defer g.mu.Lock()
			if n := read(); n != 1 {
				t.Errorf("%d bindings while it is written", n)
			}
			return nil
		}
		grant := grantTo("alice@example.com", idA, "roles/run.admin")
		if _, err := resourcemanager.NewGranter(client, standings{}).Grant(t.Context(), grant, query(grant), fine); err != nil {
			t.Fatal(err)
		}
		if n := read(); n != 2 {
			t.Errorf("%d bindings after the write", n)
		}
	})
}
