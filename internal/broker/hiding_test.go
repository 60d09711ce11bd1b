package broker_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
)

// Somebody may write the policies, and has what stands there look as it should. What they do not
// get by it is that nobody hears.

// forge records events as an instance of somebody else's does, which has no key of ours.
func (k *spoiledWeek) forge(events ...access.Event) {
	k.t.Helper()
	own, err := ledger.NewKeys(bytes.Repeat([]byte{66}, 32))
	if err != nil {
		k.t.Fatal(err)
	}
	s := ledger.New(ledger.Config{Home: k.home, Signer: own, Now: func() time.Time { return k.Clock }, Random: rand.Reader})
	for _, e := range events {
		if e.Action != access.RequestMade && e.Action != access.GrantTakenIn {
			if e.Request, err = s.Open(k.t.Context(), e.Request.ID); err != nil {
				k.t.Fatal(err)
			}
			if e.Decision.Verdict != "" {
				e.Decision.Digest = e.Request.Digest()
			}
		}
		if _, err := s.Commit(k.t.Context(), e, nil); err != nil {
			k.t.Fatal(err)
		}
	}
}

// story is how a grant might have come to stand: asked for, approved by ben, written.
func (k *spoiledWeek) story(a access.Activation, id string) []access.Event {
	r := access.Request{ID: id, Kind: access.Peers, Principal: a.Principal, Resource: shop, Entitlements: []access.EntitlementID{a.Entitlement},
		Justification: a.Justification, Duration: a.Window.Length(), Reviewers: []access.Principal{ben}, Created: a.Window.Start,
		Expires: a.Window.End}
	at := func(action access.Action, c access.Caller) access.Event {
		return access.Event{Action: action, At: a.Window.Start, Caller: c, Request: r}
	}
	approved := at(access.RequestApproved, caller(ben))
	approved.Decision = access.Decision{Verdict: access.Approve, By: ben, At: a.Window.Start}
	approved.Requirements = []access.Requirement{{Count: 1, From: []string{access.FromPeers}}}
	written := at(access.GrantWritten, operator)
	approved.Window, written.Window = a.Window, a.Window
	return []access.Event{at(access.RequestMade, caller(a.Principal)), approved, written}
}

func TestNobodyWithTheDatabaseHidesAGrantThatStands(t *testing.T) {
	const cell = "mpa-0000000000000001" // that of cho, who has it from nobody
	takenIn := func(k *spoiledWeek) string {
		k.t.Helper()
		if done := surveyed(k.t, k.b); done.TakenIn != 1 {
			k.t.Fatalf("%+v", done)
		}
		return k.Journal[slices.IndexFunc(k.Journal, func(e access.Event) bool { return e.Action == access.GrantTakenIn })].Request.ID
	}
	gone := func(k *spoiledWeek, id string) {
		for _, table := range []string{"requests WHERE id", "events WHERE request_id", "parts WHERE request_id", "reviewers WHERE request_id"} {
			k.exec(fmt.Sprintf("DELETE FROM %s = '%s'", table, id))
		}
	}
	copied := func(k *spoiledWeek) string { // the number of what ana asked for, in the binding of cho
		listed, err := k.store.List(k.t.Context(), access.Listing{Principal: ana})
		if err != nil || len(listed.Requests) != 1 {
			k.t.Fatal(err, listed)
		}
		k.Activations[0].RequestID = listed.Requests[0].ID
		return listed.Requests[0].ID
	}
	for what, c := range map[string]struct {
		do   func(k *spoiledWeek) string // returns the number that is told of
		want string
	}{
		"a request by a key of their own says that it was approved": {func(k *spoiledWeek) string {
			k.forge(k.story(k.Activations[0], cell)...)
			return cell
		}, "damaged"},
		"so does one that takes the place of what was taken in": {func(k *spoiledWeek) string {
			gone(k, takenIn(k))
			k.forge(k.story(k.Activations[0], cell)...)
			return cell
		}, "damaged"},
		"the row is deleted of what was taken in": {func(k *spoiledWeek) string {
			k.exec("DELETE FROM requests WHERE id = '" + takenIn(k) + "'")
			return cell
		}, "taken-in"},
		"the row of what was taken in says that it is over": {func(k *spoiledWeek) string {
			k.exec("UPDATE requests SET state = 'expired', due = 0 WHERE id = '" + takenIn(k) + "'")
			return cell
		}, "taken-in"},
		"it has the number of another": {func(k *spoiledWeek) string {
			copied(k)
			return takenIn(k)
		}, "taken-in"},
		"it has the number of another, and what was taken in of it is theirs": {func(k *spoiledWeek) string {
			id := copied(k)
			under := takenIn(k)
			gone(k, under)
			k.forge(k.story(k.Activations[0], under)...)
			return id
		}, "other-grant"},
		"it has the number of another, and they say that it was taken in": {func(k *spoiledWeek) string {
			id := copied(k)
			under := takenIn(k)
			gone(k, under)
			taken := k.story(k.Activations[0], under)[:1]
			taken[0].Action, taken[0].Caller, taken[0].Window, taken[0].Request.Reviewers = access.GrantTakenIn, operator, k.Activations[0].Window, nil
			k.forge(taken...)
			return id
		}, "other-grant"},
		"it has the number of another, and what was taken in of it is of somebody else": {func(k *spoiledWeek) string {
			id := copied(k)
			under := takenIn(k)
			gone(k, under)
			other := k.Activations[0]
			other.Principal = ana
			k.forge(k.story(other, under)...)
			return id
		}, "other-grant"},
	} {
		for _, home := range []string{"SQLite", "PostgreSQL"} {
			t.Run(what+"/"+home, func(t *testing.T) {
				k := newSpoiledWeek(t, databases[home])
				k.Journal = nil
				k.Activations[0].Window.End = k.Clock.Add(time.Hour) // not too long for anybody
				want := c.want + " " + c.do(k) + " cho@example.com"
				k.b = k.Broker()
				k.Told = nil
				var heard []string
				for range 5 {
					surveyed(t, k.b)
					k.steps(1)
				}
				for _, n := range k.told() {
					heard = append(heard, inBrief(n))
				}
				if len(heard) != 1 || !strings.Contains(heard[0], want) {
					t.Errorf("heard %q, want %q", heard, want)
				}
			})
		}
	}
}
