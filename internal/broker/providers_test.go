package broker_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
	"jitaccess/internal/gcp/resourcename"
)

var (
	lab    = brokertest.Lab.Resource
	labKey = brokertest.Lab
)

// door stands before a provider: it lets nothing through that is another's, and is shut
// when down.
type door struct {
	broker.Provider
	t    *testing.T
	kind string
	// down is what becomes of every call; nil is up.
	down func(context.Context) error
}

func (d *door) pass(ctx context.Context, on access.Resource) error {
	if on.Kind() != d.kind {
		d.t.Errorf("%s reached the provider of %s", on, d.kind)
	}
	if d.down != nil {
		return d.down(ctx)
	}
	return nil
}

func (d *door) Resources(ctx context.Context, p access.Principal) ([]access.ResourceInfo, []*access.Error, error) {
	if d.down != nil {
		return nil, nil, d.down(ctx)
	}
	return d.Provider.Resources(ctx, p)
}

func (d *door) Canonical(id access.EntitlementID) (access.EntitlementID, error) {
	d.pass(context.Background(), id.Resource)
	return d.Provider.Canonical(id)
}

func (d *door) Standing(ctx context.Context, q access.StandingQuery) (access.Standing, error) {
	if err := d.pass(ctx, q.Resource); err != nil {
		return access.Standing{}, err
	}
	return d.Provider.Standing(ctx, q)
}

func (d *door) Role(ctx context.Context, on access.Resource, r access.Role) access.RoleInfo {
	if d.pass(ctx, on) != nil {
		return access.RoleInfo{}
	}
	return d.Provider.Role(ctx, on, r)
}

func (d *door) Preview(g access.Grant) ([]access.Effect, error) {
	if err := d.pass(context.Background(), g.Resource); err != nil {
		return nil, err
	}
	return d.Provider.Preview(g)
}

func (d *door) Grant(ctx context.Context, g access.Grant, q access.StandingQuery, check func(access.Standing) error) ([]access.Outcome, error) {
	if err := d.pass(ctx, g.Resource); err != nil {
		return nil, err
	}
	return d.Provider.Grant(ctx, g, q, check)
}

func (d *door) End(ctx context.Context, e access.Ending) ([]access.Outcome, error) {
	if err := d.pass(ctx, e.Resource); err != nil {
		return nil, err
	}
	return d.Provider.End(ctx, e)
}

// building is a broker over Google Cloud and rooms, each behind a door.
func building(t *testing.T) (w *world, b *broker.Broker, google, doors *door) {
	w = newWorld(t)
	google = &door{Provider: w, t: t, kind: "projects"}
	doors = &door{Provider: &brokertest.Rooms{People: []access.Principal{ana, ben, cho}}, t: t, kind: "rooms"}
	return w, w.BrokerOf(broker.Registration{Provider: google, Name: "Google Cloud", Kinds: resourcename.Kinds},
		broker.Registration{Provider: doors, Name: "Rooms", Kinds: brokertest.RoomKinds}), google, doors
}

var downs = map[string]func(context.Context) error{
	"up": nil,
	"down": func(context.Context) error {
		return &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed, Args: access.Args{"service": "it"}}
	},
	"hanging until the deadline": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	"panicking":                  func(context.Context) error { panic("oops") },
}

// With one of two providers up, down or hanging, everything that is the other's works.
func TestEachProviderWorksWithoutTheOther(t *testing.T) {
	for name, down := range downs {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, b, _, doors := building(t)
				doors.down = down
				wholeStory(t, b, admin)
				_, b, google, _ := building(t)
				google.down = down
				wholeStory(t, b, labKey)
			})
		})
	}
}

// wholeStory lists, opens, asks, approves and ends.
func wholeStory(t *testing.T, b *broker.Broker, id access.EntitlementID) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
	defer cancel()
	infos, warnings, err := b.Resources(ctx, caller(ana))
	if err != nil || !slices.ContainsFunc(infos, func(i access.ResourceInfo) bool { return i.Resource == id.Resource }) || len(infos)+len(warnings) != 2 {
		t.Fatalf("lists %v, %v, %v", infos, warnings, err)
	}
	offer, err := b.Offer(t.Context(), caller(ana), id.Resource)
	if err != nil || !slices.ContainsFunc(offer.Roles, func(r broker.OfferedRole) bool { return r.Entitlement.ID == id && r.Role.Title != "" }) {
		t.Fatalf("offers %+v, %v", offer, err)
	}
	a := ask()
	a.Resource, a.Entitlements = id.Resource, []access.EntitlementID{id}
	asked, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil {
		t.Fatal(err)
	}
	view, err := b.Show(t.Context(), caller(ben), asked.Ref, "")
	if err != nil || !view.CanDecide || len(view.Effects) != 1 || view.Unwritable != nil {
		t.Fatalf("shows %+v, %v", view, err)
	}
	decided, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve, Digest: view.Digest})
	if err != nil || decided.State != access.Active {
		t.Fatalf("decides %+v, %v", decided, err)
	}
	ended, err := b.End(t.Context(), caller(ana), id.Resource, asked.Request.ID, "")
	if err != nil || len(ended.Outcomes) != 1 || ended.Outcomes[0].Result != access.Removed {
		t.Fatalf("ends %+v, %v", ended, err)
	}
}

// A provider that is down, in whatever way, is a warning beside what the others have;
// that all are is an error.
func TestResourcesOfAProviderThatIsDown(t *testing.T) {
	for name, down := range downs {
		t.Run(name, func(t *testing.T) {
			if down == nil {
				return
			}
			synctest.Test(t, func(t *testing.T) {
				_, b, google, doors := building(t)
				doors.down = down
				begun := time.Now()
				infos, warnings, err := b.Resources(t.Context(), caller(ana))
				if err != nil || len(infos) != 1 || infos[0].Resource != shop || len(warnings) != 1 || time.Since(begun) > 24*time.Second {
					t.Errorf("%v, %v, %v after %v", infos, warnings, err, time.Since(begun))
				}
				google.down = down
				if infos, warnings, err := b.Resources(t.Context(), caller(ana)); err == nil || infos != nil || warnings != nil {
					t.Errorf("both: %v, %v, %v", infos, warnings, err)
				}
			})
		})
	}
}

// One that does not even heed the deadline is named, and holds nobody.
func TestResourcesOfAProviderThatNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		defer close(free)
		stuck := func(context.Context) error { <-free; return errors.New("too late") }
		for _, want := range []access.Resource{shop, lab} {
			_, b, google, doors := building(t)
			if want == shop {
				doors.down = stuck
			} else {
				google.down = stuck
			}
			infos, warnings, err := b.Resources(t.Context(), caller(ana))
			if err != nil || len(infos) != 1 || infos[0].Resource != want || len(warnings) != 1 ||
				warnings[0].Code != access.CodeUpstreamTimeout || warnings[0].Args["service"] == "" {
				t.Errorf("%v, %v, %v", infos, warnings, err)
			}
		}
	})
}

func TestResourcesAreSortedAcrossProviders(t *testing.T) {
	_, b, _, _ := building(t)
	infos, warnings, err := b.Resources(t.Context(), caller(ana))
	if err != nil || warnings != nil || len(infos) != 2 || infos[0].Resource != shop || infos[1].Resource != lab {
		t.Errorf("%v, %v, %v", infos, warnings, err)
	}
}

// What no provider has is refused wherever it comes from, and asked of nobody.
func TestAResourceOfNobodyIsRefused(t *testing.T) {
	w, b, _, _ := building(t)
	w.Requests["foreign"] = access.Request{ID: "mpa-AAAAAAAAAAAAAAAA", Principal: ana, Resource: "vaults/x", Justification: "x", Duration: time.Hour,
		Entitlements: []access.EntitlementID{{Resource: "vaults/x", Role: "roles/key"}}, Reviewers: []access.Principal{ben}, Created: w.Clock, Expires: w.Clock.Add(time.Hour)}
	for _, on := range []access.Resource{"vaults/x", "rooms/LAB", "rooms/lab2", "folders/x", "projects/a.b", ""} {
		a := ask()
		a.Resource, a.Entitlements = on, []access.EntitlementID{{Resource: on, Role: "roles/key"}}
		_, asked := b.Ask(t.Context(), caller(ana), a)
		_, offered := b.Offer(t.Context(), caller(ana), on)
		_, ended := b.End(t.Context(), caller(ana), on, "jit-AAAAAAAAAAAAAAAA", "")
		_, reviewers := b.Reviewers(t.Context(), caller(ana), access.EntitlementID{Resource: on, Role: "roles/key"})
		for what, err := range map[string]error{"ask": asked, "offer": offered, "end": ended, "reviewers": reviewers} {
			if e := access.AsError(err); e == nil || e.Kind != access.NotFound || e.Code != access.CodeUnknownResource {
				t.Errorf("%s on %q: %v", what, on, err)
			}
		}
		if got, err := b.ParseResource(string(on)); err == nil {
			t.Errorf("%q reads as %q", on, got)
		}
		if id, err := b.ParseEntitlementID(string(on) + ":roles/key"); err == nil {
			t.Errorf("%q reads as %+v", on, id)
		}
	}
	_, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: "foreign", Verdict: access.Approve})
	is(t, err, access.NotFound, access.CodeUnknownResource)
	if view, err := b.Show(t.Context(), caller(ben), "foreign", ""); err != nil || view.CanDecide || view.WhyNot.Code != access.CodeUnknownResource {
		t.Errorf("shows %+v, %v", view, err)
	}
}

// Each provider spells its own ids, and says what its resources are.
func TestIDsAndKindsAreTheProviders(t *testing.T) {
	_, b, _, _ := building(t)
	id, err := b.ParseEntitlementID("rooms/lab:roles/key:bmlnaHQ=") // night
	if err != nil || id != (access.EntitlementID{Resource: lab, Role: "roles/key", Condition: "NIGHT"}) {
		t.Errorf("%+v, %v", id, err)
	}
	if again, err := b.ParseEntitlementID(id.String()); err != nil || again != id {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := b.ParseEntitlementID("shop:roles/key:bmlnaHQ="); err != nil { // "night" is a condition of CEL too
		t.Error(err)
	}
	for on, want := range map[access.Resource]string{lab: "room", shop: "project", "folders/1": "folder", "vaults/x": ""} {
		if got := b.ResourceKind(on).Word; got != want {
			t.Errorf("%s is a %q, want %q", on, got, want)
		}
	}
}

func TestTwoProvidersOfOneKindAreAMistake(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("nobody noticed")
		}
	}()
	r := broker.Registration{Provider: &brokertest.Rooms{}, Kinds: brokertest.RoomKinds}
	newWorld(t).BrokerOf(r, r)
}

// What cannot be written is said in words beside what can.
func TestAViewSaysWhatCannotBeWritten(t *testing.T) {
	w := newWorld(t)
	asked, err := w.Broker().Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	w.PreviewErr = &access.Error{Kind: access.Unprocessable, Code: access.CodeConditionTooLong}
	view, err := w.Broker().Show(t.Context(), caller(ben), asked.Ref, "")
	if err != nil || len(view.Effects) != 1 || view.Unwritable == nil || view.Unwritable.Code != access.CodeConditionTooLong {
		t.Errorf("%+v, %v", view, err)
	}
}

// A listing tells of others, so that people do not get one; its terms are those of the
// pages.
func TestEligibleIsForTheServiceItself(t *testing.T) {
	w := newWorld(t)
	_, err := w.Broker().Eligible(t.Context(), caller(dan), shop, ana)
	is(t, err, access.NotAllowed, access.CodeNotAdmin)
	found, err := w.Broker().Eligible(t.Context(), access.Caller{Method: access.MethodSystem}, shop, ana)
	if err != nil || len(found.People) != 1 || found.People[0].Person != ana {
		t.Fatalf("%+v, %v", found, err)
	}
	offer, err := w.Broker().Offer(t.Context(), caller(ana), shop)
	if err != nil || len(offer.Roles) != 2 {
		t.Fatalf("%+v, %v", offer, err)
	}
	for i, r := range found.People[0].Roles {
		if r.Entitlement.ID != offer.Roles[i].Entitlement.ID || !reflect.DeepEqual(r.Terms, offer.Roles[i].Terms) {
			t.Errorf("lists %+v, offers %+v", r, offer.Roles[i])
		}
	}
}

// A list calls a role what its provider called it last, and the role by its name where nobody knows; a title that
// the registration itself has stands in any case.
func TestListsCallRolesByWhatIsKnown(t *testing.T) {
	known := func(r access.Role) string { return map[access.Role]string{"roles/a": "Reader of A"}[r] }
	titled := func(access.EntitlementID) string { return "Access to the laboratory" }
	for _, x := range []struct {
		what         string
		registration broker.Registration
		role         access.Role
		title, want  string
	}{
		{"nothing is known", broker.Registration{}, "roles/a", "roles/a", "roles/a"},
		{"its provider was asked", broker.Registration{RoleTitle: known}, "roles/a", "roles/a", "Reader of A"},
		{"its provider was asked for another", broker.Registration{RoleTitle: known}, "roles/b", "roles/b", "roles/b"},
		{"it has a title", broker.Registration{Title: titled}, "roles/a", "Access to the laboratory", "Access to the laboratory"},
		{"both", broker.Registration{Title: titled, RoleTitle: known}, "roles/a", "Access to the laboratory", "Access to the laboratory"},
	} {
		x.registration.Kinds = []access.ResourceKind{{Segment: "projects"}}
		b := broker.New(broker.Config{Providers: []broker.Registration{x.registration}})
		id := access.EntitlementID{Resource: "projects/p", Role: x.role}
		if title, got := b.Title(id), b.RoleTitle(id); title != x.title || got != x.want {
			t.Errorf("%s: %q in a message, %q in a list", x.what, title, got)
		}
		id.Resource = "rooms/p" // nobody's
		if got := b.RoleTitle(id); got != string(x.role) {
			t.Errorf("%s: of nobody %q", x.what, got)
		}
	}
}
