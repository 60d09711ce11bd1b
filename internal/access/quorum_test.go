package access_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"jitaccess/internal/access"
)

// decided reads "ben+ cho-": ben approves, cho denies.
func decided(text string) []access.Decision {
	var all []access.Decision
	for _, word := range strings.Fields(text) {
		name, verdict := word[:len(word)-1], map[byte]access.Verdict{'+': access.Approve, '-': access.Deny}[word[len(word)-1]]
		all = append(all, access.Decision{By: access.Principal(name), Verdict: verdict})
	}
	return all
}

// needed reads "2 peers, 1 leads|dbas".
func needed(text string) []access.Requirement {
	var all []access.Requirement
	for _, part := range strings.Split(text, ", ") {
		var r access.Requirement
		var from string
		if n, _ := fmt.Sscanf(part, "%d %s", &r.Count, &from); n == 2 {
			r.From = strings.Split(from, "|")
			all = append(all, r)
		}
	}
	return all
}

// groups are who is what in the table; ana asks.
var groups = map[string][]access.Principal{
	"peers": {"ana", "ben", "cho", "dan", "eve"}, "leads": {"ana", "cho"}, "dbas": {"dan", "cho"}, "nobody": nil,
}

func in(p access.Principal, r access.Requirement) bool {
	return slices.ContainsFunc(r.From, func(g string) bool { return slices.Contains(groups[g], p) })
}

func TestQuorum(t *testing.T) {
	for _, c := range []struct{ rule, takes, said, filled, want string }{
		{"what takes no approval has enough", "", "", "[]", "complete []"},
		{"one is not yet there", "1 peers", "", "[0]", "open []"},
		{"one is enough", "1 peers", "ben+", "[1]", "complete [ben]"},
		{"two are two people", "2 peers", "ben+ cho+", "[2]", "complete [ben cho]"},
		{"one person is one, however often they approve", "2 peers", "ben+ ben+ ben+", "[1]", "open [ben]"},
		{"one person fills one requirement", "1 peers, 1 leads", "cho+", "[1 0]", "open [cho]"},
		{"two people fill two", "1 peers, 1 leads", "cho+ ben+", "[1 1]", "complete [cho ben]"},
		{"in whatever order they come", "1 peers, 1 leads", "ben+ cho+", "[1 1]", "complete [ben cho]"},
		{"one moves so that another has a place", "1 leads|dbas, 1 dbas", "dan+ cho+", "[1 1]", "complete [dan cho]"},
		{"several move", "1 leads|dbas, 1 dbas, 1 peers", "cho+ dan+ ben+", "[1 1 1]", "complete [cho dan ben]"},
		{"who fits nowhere does not count", "2 leads", "ben+ cho+ dan+", "[1]", "open [cho]"},
		{"nobody can fill it", "1 nobody", "ben+ cho+", "[0]", "open []"},
		{"more than needed changes nothing", "1 peers", "ben+ cho+", "[1]", "complete [ben]"},
		{"the requester never counts", "1 peers", "ana+", "[0]", "open []"},
		{"the requester never counts, as a lead neither", "1 peers, 1 leads", "ben+ ana+", "[1 0]", "open [ben]"},
		{"a denial ends it", "1 peers", "ben-", "[0]", "denied []"},
		{"a denial ends it, though enough approve", "1 peers", "cho+ ben-", "[1]", "denied [cho]"},
		{"who approves and denies has denied", "1 peers", "ben+ ben-", "[1]", "denied [ben]"},
		{"the requester's denial is none", "1 peers", "ana- ben+", "[1]", "complete [ben]"},
		{"a count of none is filled", "0 peers, 1 peers", "ben+", "[0 1]", "complete [ben]"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			got := access.Quorum("ana", decided(c.said), needed(c.takes), in)
			is := map[bool]string{true: "complete", false: "open"}[got.Complete]
			if got.Denied {
				is = "denied"
				if got.Complete {
					t.Error("denied and complete")
				}
			}
			if text := fmt.Sprint(is, " ", got.Approvers); text != c.want || fmt.Sprint(got.Filled) != c.filled {
				t.Errorf("%s on %q: %s %v, want %s %s", c.said, c.takes, text, got.Filled, c.want, c.filled)
			}
		})
	}
}

// FuzzQuorum compares with every way to place the people.
func FuzzQuorum(f *testing.F) {
	f.Add([]byte{2, 1, 0, 0x11, 0x23, 7}, []byte{1, 2, 3, 0x81})
	f.Add([]byte{1, 1, 1, 0xff, 0x0f, 0xf0}, []byte{0, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, takes, said []byte) {
		var needs []access.Requirement
		for i := 0; i+1 < len(takes) && len(needs) < 3; i += 2 {
			needs = append(needs, access.Requirement{Count: int(takes[i] % 3), From: []string{fmt.Sprint(takes[i+1])}})
		}
		name := func(i byte) access.Principal { return access.Principal(rune('a' + i%5)) }
		var all []access.Decision
		for _, s := range said[:min(len(said), 6)] {
			all = append(all, access.Decision{By: name(s), Verdict: map[bool]access.Verdict{false: access.Approve, true: access.Deny}[s&0x80 != 0]})
		}
		// The bits of a From say which of the five may.
		may := func(p access.Principal, r access.Requirement) bool {
			var bits int
			fmt.Sscan(r.From[0], &bits)
			return bits>>(p[0]-'a')&1 == 1
		}
		got := access.Quorum("a", all, needs, may)
		if len(got.Filled) != len(needs) {
			t.Fatalf("%v of %v", got.Filled, needs)
		}
		people, denied := []access.Principal{}, false
		for _, d := range all {
			if d.By != "a" && d.Verdict == access.Approve && !slices.Contains(people, d.By) {
				people = append(people, d.By)
			}
			denied = denied || d.By != "a" && d.Verdict == access.Deny
		}
		total, wanted := 0, 0
		for i, n := range got.Filled {
			if n > needs[i].Count {
				t.Errorf("requirement %d has %d of %d", i, n, needs[i].Count)
			}
			total, wanted = total+n, wanted+needs[i].Count
		}
		if best := mostPlaced(people, needs, may); total != best || len(got.Approvers) != total {
			t.Errorf("%v on %v: %d placed, %d can be; approvers %v", all, needs, total, best, got.Approvers)
		}
		if got.Denied != denied || got.Complete != (total == wanted && !denied) {
			t.Errorf("%v on %v: %+v", all, needs, got)
		}
	})
}

// mostPlaced tries every way.
func mostPlaced(people []access.Principal, needs []access.Requirement, may func(access.Principal, access.Requirement) bool) int {
	if len(people) == 0 {
		return 0
	}
	best := mostPlaced(people[1:], needs, may)
	for i, n := range needs {
		if n.Count > 0 && may(people[0], n) {
			rest := slices.Clone(needs)
			rest[i].Count--
			best = max(best, 1+mostPlaced(people[1:], rest, may))
		}
	}
	return best
}
