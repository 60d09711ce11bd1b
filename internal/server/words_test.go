package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/words"
)

func TestEveryKindHasAStatusAndATitle(t *testing.T) {
	seen := map[int]access.Kind{}
	for k := access.Internal; k <= access.TimedOut; k++ {
		status := statusOf(&access.Error{Kind: k})
		key := "title." + strconv.Itoa(status)
		if title := words.English().Text(key, "provider", "Google"); status < 400 || title == "" || title == key {
			t.Errorf("%s is %d, titled %q", k, status, title)
		}
		if other, ok := seen[status]; ok {
			t.Errorf("%s and %s are both %d", k, other, status)
		}
		seen[status] = k
	}
	for code, want := range map[access.Code]int{access.CodeMethod: http.StatusMethodNotAllowed, access.CodeTooLarge: http.StatusRequestEntityTooLarge,
		access.CodeMediaType: http.StatusUnsupportedMediaType} {
		if got := statusOf(&access.Error{Kind: access.Invalid, Code: code}); got != want {
			t.Errorf("%s is %d", code, got)
		}
	}
}

// Threat 40: what is remembered of people is bounded.
func TestPaceForgets(t *testing.T) {
	p := newPace(1, 1)
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for i := range 3 * maxPaced {
		p.allow(access.Principal(strconv.Itoa(i)), now)
	}
	if n := len(p.younger) + len(p.elder); n > 2*maxPaced {
		t.Errorf("remembers %d", n)
	}
	if last := access.Principal(strconv.Itoa(3*maxPaced - 1)); p.allow(last, now) {
		t.Error("forgot somebody recent")
	}
}

// idReader reads ids and nothing else.
type idReader struct{ Broker }

func (idReader) ParseEntitlementID(text string) (access.EntitlementID, error) {
	return access.ParseEntitlementID(text)
}

func (idReader) Defaults(access.Caller, access.RequestKind) (access.Terms, error) {
	return access.Terms{MaxRoles: 10}, nil
}

func (idReader) Offer(context.Context, access.Caller, access.Resource) (broker.Offer, error) {
	return broker.Offer{}, nil
}

// Whatever stands in a form, reading it neither panics nor yields a duration out of
// range.
func FuzzForm(f *testing.F) {
	f.Add("minutes=15&start=2026-11-22T12:00&entitlement=p:roles/x")
	f.Add("minutes=99999999999999999999")
	f.Add("minutes=-1&minutes= &start=2026-11-22T12:00:00%2B02:00")
	f.Add("entitlement=%ff&id=a&id=b")
	s := &server{Config: Config{Broker: idReader{}}}
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("POST", "/access/projects/p", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		v, err := form(r)
		if err != nil {
			return
		}
		if d := minutes(v["minutes"]); d != 0 && (d < time.Minute || d > maxMinutes*time.Minute || d%time.Minute != 0) {
			t.Errorf("%q gives %s", v["minutes"], d)
		}
		if at, err := start(v.Get("start")); err == nil && at.Location() != time.UTC {
			t.Errorf("%q gives %s", v.Get("start"), at)
		}
		if ids, err := s.entitlementIDs(r, "projects/p", v["entitlement"]); err == nil && len(ids) != len(v["entitlement"]) {
			t.Error("lost an entitlement")
		}
	})
}
