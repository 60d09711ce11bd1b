package assetinventory_test

import (
	"maps"
	"slices"
	"testing"

	"jitaccess/internal/access"
)

// TestEverybody expands each group once, and asks for the groups of nobody.
func TestEverybody(t *testing.T) {
	w := newWorld(t)
	w.both(shop, binding("roles/a", self, "user:ana@example.com", "group:ops@example.com"), binding("roles/b", "", "user:eve@example.com"))
	w.both(folder, binding("roles/c", peers, "group:ops@example.com", "group:gone@example.com"))
	w.members["ops@example.com"] = []string{"ana@example.com", "ben@example.com"}
	s, err := w.catalog.Standing(t.Context(), access.StandingQuery{Resource: shop, Everybody: true})
	if err != nil {
		t.Fatal(err)
	}
	if people := slices.Sorted(maps.Keys(s.Holdings)); !slices.Equal(people, []access.Principal{ana, ben}) {
		t.Errorf("people %v", people)
	}
	if got := held(s, ana) + "; " + held(s, ben); got != "roles/a roles/c; roles/a roles/c" {
		t.Errorf("they hold %s", got)
	}
	if ways := s.Holdings[ana][0].Ways; !slices.Equal(ways, []access.Way{{Node: shop, Member: "user:ana@example.com"}, {Node: shop, Member: "group:ops@example.com"}}) {
		t.Errorf("ana holds roles/a through %v", ways)
	}
	if codes(s) != "group-unreadable" {
		t.Errorf("warns %q", codes(s))
	}
	w.expect(t, map[string]int{"batchGet": 1, ":getIamPolicy": 1, "/members": 2, "memberKey": 0})
}

func TestEverybodyOfWhatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	delete(w.live, shop)
	for resource, want := range map[access.Resource]access.Code{
		shop: access.CodeServiceNotAllowed, "projects/unknown": access.CodeUnknownResource, "folders/8": access.CodeUnknownResource,
	} {
		if _, err := w.catalog.Standing(t.Context(), access.StandingQuery{Resource: resource, Everybody: true}); access.AsError(err).Code != want {
			t.Errorf("%s: %v, want %s", resource, err, want)
		}
	}
}
