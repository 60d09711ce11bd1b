package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/broker/brokertest"
)

// reader counts what is read of the ids of others, in bytes.
type reader struct {
	*world
	read int
}

func (c *reader) ParseEntitlementID(text string) (access.EntitlementID, error) {
	c.read += len(text)
	return c.world.ParseEntitlementID(text)
}

// An address full of ids costs next to nothing: more than may be requested together are
// counted, long ones compared with what is held.
func TestIdsOfOthersAreCountedAndComparedBeforeTheyAreRead(t *testing.T) {
	narrow := func(n int) access.EntitlementID {
		return access.EntitlementID{Resource: orders, Role: access.Role("roles/storage.role" + strconv.Itoa(n)),
			Condition: `resource.name.startsWith("projects/_/buckets/` + strings.Repeat("x", n) + `")`}
	}
	ids := func(n int, of func(int) string) (all []string) {
		for i := range n {
			all = append(all, of(i))
		}
		return all
	}
	junk := func(length int) func(int) string {
		return func(i int) string {
			id := access.EntitlementID{Resource: orders, Role: "roles/x.y", Condition: `resource.name == "` + strconv.Itoa(i) + strings.Repeat("y", length) + `"`}
			return id.String()
		}
	}
	for name, c := range map[string]struct {
		ids  []string
		code string
		// read is how many bytes may be read.
		read int
	}{
		"as many as may be, short":         {ids(10, junk(10)), "not-eligible", 4096},
		"one too many":                     {ids(11, junk(10)), "too-many-roles", 0},
		"hundreds":                         {ids(300, junk(10)), "too-many-roles", 0},
		"hundreds that are no ids":         {ids(300, func(int) string { return "x" }), "too-many-roles", 0},
		"hundreds of one that is held":     {ids(300, func(int) string { return admin.String() }), "too-many-roles", 0},
		"few and long":                     {ids(3, junk(3500)), "bad-entitlement", 0},
		"one that is long":                 {ids(1, junk(4000)), "bad-entitlement", 0},
		"one that is held, and a long one": {[]string{viewer.String(), junk(4000)(0)}, "bad-entitlement", 0},
		"one that is held and long":        {[]string{narrow(4000).String()}, "", 0},
		"two that are, together":           {[]string{narrow(2000).String(), narrow(2001).String()}, "", 0},
		"one that is, spelled anew":        {[]string{narrow(4000).String() + "="}, "bad-entitlement", 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for _, n := range []int{4000, 2000, 2001} {
				w.Holdings[ana] = append(w.Holdings[ana], brokertest.Self(narrow(n)))
			}
			b := &reader{world: w}
			h, log := serve(t, b, nil)
			code := http.StatusOK
			if c.code != "" {
				code = http.StatusBadRequest
				if c.code == "not-eligible" {
					code = http.StatusForbidden
				}
			}
			number, err := access.NewForm(strings.NewReader("a form that ana opened"), access.Self, ana, w.Clock)
			if err != nil {
				t.Fatal(err)
			}
			// As a page, as a form, and as JSON.
			values := url.Values{"entitlement": c.ids, "id": {number}, "justification": {"x"}, "minutes": {"5"}}
			for i, r := range []*http.Request{
				request("GET", "/access/"+string(orders)+"?"+url.Values{"entitlement": c.ids}.Encode()),
				httptest.NewRequest("POST", "/access/"+string(orders), strings.NewReader(values.Encode())),
				httptest.NewRequest("POST", "/api/projects/acme-orders-prod/roles/self-activate", strings.NewReader(
					`{"entitlementIds":["`+strings.Join(c.ids, `","`)+`"],"justification":"x","activationTimeout":5}`)),
			} {
				if len(r.URL.RawQuery) > 16<<10 {
					continue // refused before
				}
				media := []string{"", "application/x-www-form-urlencoded", "application/json"}[i]
				if i > 0 {
					r.Header = request("POST", "/").Header
					r.Host = "access.example.com"
					r.Header.Set("Content-Type", media)
				}
				b.read = 0
				got := do(h, r)
				want := code
				if i == 1 && want == http.StatusOK {
					want = http.StatusSeeOther
				}
				if got.Code != want {
					t.Errorf("%s: %d, want %d\n%s", media, got.Code, want, log)
				}
				if c.code != "" && !strings.Contains(log.String(), c.code) {
					t.Errorf("%s: the log: %s", media, log)
				}
				if b.read > 2*c.read {
					t.Errorf("%s: %d bytes of ids were read", media, b.read)
				}
			}
		})
	}
}
