package iampolicy_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/iampolicy"
)

// approved is a grant of one minute, by a link that is good for an hour.
func approved(i int, now time.Time) access.Grant {
	return access.Grant{RequestID: fmt.Sprintf("mpa-%016d", i), Principal: "alice@example.com", Resource: shop, Justification: "x",
		Approvers: []access.Principal{"bob@example.com"}, Window: access.Window{Start: now, End: now.Add(time.Minute)}, LinkLife: time.Hour}
}

// TestRecordsDoNotLockOut: twenty short grants that were approved within an hour are in
// the way for as long as their links live, which the refusal says, and no longer.
func TestRecordsDoNotLockOut(t *testing.T) {
	p := mustParse(t, policy())
	now := at("12:00")
	for i := range iampolicy.MaxSameRole {
		next, outcome := p.Grant(approved(i, now), runAdmin, now)
		if outcome.Result != access.Granted {
			t.Fatalf("grant %d: %v", i, outcome.Err)
		}
		p, now = next, now.Add(2*time.Minute)
	}
	_, outcome := p.Grant(approved(20, now), runAdmin, now)
	if e := outcome.Err; e == nil || e.Code != access.CodeTooManyRecords || e.Args["until"] != "2026-03-02T13:01:01Z" {
		t.Fatalf("with twenty records: %v", e)
	}
	then := at("13:01").Add(time.Second)
	next, outcome := p.Grant(approved(20, then), runAdmin, then)
	if outcome.Result != access.Granted {
		t.Fatalf("when the first link is dead: %v", outcome.Err)
	}
	if found, _ := next.Activations(shop); len(found) != iampolicy.MaxSameRole || found[0].RequestID != approved(1, now).RequestID || found[0].Justification != "x" {
		t.Errorf("left are %d, the first %+v", len(found), found[0])
	}
}

// A record of which a living link may be in need is never cleared, whatever is granted
// and ended, and whoever writes what into a justification.
func TestNoRecordIsClearedWhileItsLinkLives(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 11))
		p := mustParse(t, policy())
		now := at("00:00")
		lives := map[string]time.Time{}
		life := time.Duration(r.IntN(6*60)) * time.Minute // 0 is as long as any
		for i := range 40 {
			now = now.Add(time.Duration(r.IntN(30*60)) * time.Second)
			g := approved(i, now)
			g.LinkLife = life
			next, outcome := p.Grant(g, runAdmin, now)
			if outcome.Result == access.Granted {
				p = next
				lives[g.RequestID] = now.Add(cmp.Or(life, access.LinkLife))
			} else if outcome.Err.Code != access.CodeTooManyRecords {
				t.Fatalf("seed %d: %v", seed, outcome.Err)
			}
			if r.IntN(2) == 0 {
				p, _ = p.End(access.Ending{RequestID: g.RequestID, Principal: g.Principal, Resource: shop, At: now}, runAdmin, now)
			}
			p = mustParse(t, strings.TrimSuffix(strings.TrimPrefix(mustBody(t, p), `{"policy":`), "}"))
			found, _ := p.Activations(shop)
			kept := map[string]bool{}
			for _, a := range found {
				kept[a.RequestID] = true
			}
			for id, until := range lives {
				if !kept[id] && !now.After(until) {
					t.Fatalf("seed %d, at %s: the record of %s is gone, its link is good until %s", seed, now, id, until)
				}
			}
		}
	}
}

// Where there is room, the record of a link that another deployment gave out stays, which
// may live longer than ours.
func TestRecordsStayWhereThereIsRoom(t *testing.T) {
	p, outcome := mustParse(t, policy()).Grant(approved(0, at("12:00")), runAdmin, at("12:00"))
	if outcome.Result != access.Granted {
		t.Fatal(outcome.Err)
	}
	for _, c := range []struct {
		now  string
		want int
	}{{"14:00", 2}, {"18:02", 1}} {
		next, outcome := p.Grant(approved(1, at(c.now)), runAdmin, at(c.now))
		if found, _ := next.Activations(shop); outcome.Result != access.Granted || len(found) != c.want {
			t.Errorf("at %s: %d, want %d", c.now, len(found), c.want)
		}
	}
}
