package quota_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/quota"
	"jitaccess/internal/sandbox/google"
)

// TestEveryCallIsOfItsQuota: each method that Google counts is of one of ours, and of no
// other than its own.
func TestEveryCallIsOfItsQuota(t *testing.T) {
	ours := map[string]string{
		"ProjectV3SearchRequestsPerMinutePerProject": "resourcemanager.search", "ProjectV3GetRequestsPerMinutePerProject": "resourcemanager.get",
		"cloudresourcemanager.googleapis.com ReadRequestsPerMinutePerProject": "resourcemanager.read",
		"WriteRequestsPerMinutePerProject":                                    "resourcemanager.write",
		"batchGetEffectiveIamPoliciesQpmPerProject":                           "assetinventory.policies",
		"SearchAllIamPoliciesPerMinutePerProject":                             "assetinventory.searches",
		"analyzeIamPolicyQpmPerProject":                                       "policyanalyzer.analyses",
		"QueriesPerMinutePerUser":                                             "directory.queries",
		"iam.googleapis.com ReadRequestsPerMinutePerProject":                  "iam.read",
		"SignRequestsPerMinutePerProject":                                     "iamcredentials.sign",
		"GenerateRequestsPerMinutePerProject":                                 "iamcredentials.generate",
		"AccessRequestsPerMinutePerProject":                                   "secretmanager.access",
		"regionalPublisherPerMinutePerProject":                                "pubsub.publish",
	}
	filled := strings.NewReplacer("{id}", "shop", "{project}", "shop", "{account}", "jit@x.iam.gserviceaccount.com", "{role}", "viewer",
		"{organization}", "1", "{group}", "ops@example.com", "{topic}", "t", "{secret}", "s", "{version}", "1", "{member}", "m")
	seen := map[string]bool{}
	for _, documented := range google.Documented() {
		want, known := ours[documented.Name]
		if !known {
			want, known = ours[documented.Service+" "+documented.Name]
		}
		if !known {
			continue // by the day, and what the service does not call
		}
		seen[want] = true
		for _, called := range documented.Methods {
			method, path, _ := strings.Cut(filled.Replace(called), " ")
			q := quota.Of(method, path)
			if q == nil || q.Name != want {
				t.Errorf("%s is of %+v, want %s", called, q, want)
			} else if q.PerMinute != documented.Value && !documented.Kilobytes {
				t.Errorf("%s: %d a minute, and Google documents %d", want, q.PerMinute, documented.Value)
			}
		}
	}
	for _, q := range quota.All() {
		if !seen[q.Name] {
			t.Errorf("%s is of none of Google's", q.Name)
		}
		if !strings.HasPrefix(q.Source, "https://") {
			t.Errorf("%s: where does Google say so?", q.Name)
		}
	}
	for _, path := range []string{"/service_accounts/v1/metadata/jwk/x", "/iap/verify/public_key-jwk", "/", "/v3x", "/computeMetadata/v1/instance/region"} {
		if q := quota.Of("GET", path); q != nil {
			t.Errorf("%s is of %s", path, q.Name)
		}
	}
	for _, method := range []string{":batchGet", ":commit", ":runQuery", ":runAggregationQuery"} { // of the ledger, whatever others spend
		if q := quota.Of("POST", "/v1/projects/acme/databases/jitaccess/documents"+method); q != nil {
			t.Errorf("Firestore's %s is of %s", method, q.Name)
		}
	}
}

func TestLimits(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, " , ": 0, "assetinventory.policies=1000": 1000, " assetinventory.policies = 7 , iam.read=1 ": 7,
		"assetinventory.policies": -1, "assetinventory.policies=0": -1, "assetinventory.policies=-5": -1, "assetinventory.policies=many": -1,
		"nothing=5": -1, "=5": -1, "pubsub.publish=5": -1, "assetinventory.policies=5;iam.read=6": -1, "ASSETINVENTORY.POLICIES=5": -1,
	} {
		var l quota.Limits
		if err := l.UnmarshalText([]byte(text)); (err != nil) != (want < 0) || err == nil && l["assetinventory.policies"] != want {
			t.Errorf("%q: %v, %v", text, l, err)
		}
	}
}

// policies is the scarcest: 100 a minute.
var policies = quota.Of("GET", "/v1/organizations/1/effectiveIamPolicies:batchGet")

// desk is a Circuits with a clock that stands still, and everybody who asks.
type desk struct {
	*quota.Circuits
	now time.Time
}

func newDesk(limits quota.Limits, random float64) *desk {
	d := &desk{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	d.Circuits = quota.New(limits, func() time.Time { return d.now }, func() float64 { return random })
	return d
}

// call makes one call, of which Google says o; false is that it is not made.
func (d *desk) call(p access.Purpose, by access.Principal, o quota.Outcome, after time.Duration) bool {
	leave, refusal := d.Enter(policies, p, by)
	if refusal == nil {
		leave(o, after)
	}
	return refusal == nil
}

// many is how many of n calls that Google answers are made.
func (d *desk) many(n int, p access.Purpose, by access.Principal) (made int) {
	for range n {
		if d.call(p, by, quota.Answered, 0) {
			made++
		}
	}
	return made
}

// TestPagesLeaveAShareToActionsAndTheseToEnds, and one person leaves it to the others.
func TestPagesLeaveAShareToActionsAndTheseToEnds(t *testing.T) {
	d := newDesk(nil, 0)
	if n := d.many(500, access.ForPage, "mallory@example.com"); n != 20 {
		t.Errorf("one person's pages made %d calls", n)
	}
	if n := d.many(500, access.ForPage, ""); n != 60 {
		t.Errorf("pages made %d more", n)
	}
	if d.many(1, access.ForPage, "ana@example.com") != 0 {
		t.Error("and one more")
	}
	if n := d.many(500, access.ForAction, "ana@example.com"); n != 15 {
		t.Errorf("actions made %d", n)
	}
	if n := d.many(500, access.ForEnd, "ben@example.com"); n != 5 {
		t.Errorf("ends made %d", n)
	}
	d.now = d.now.Add(59 * time.Second)
	if d.many(1, access.ForPage, "cid@example.com") != 0 {
		t.Error("the minute is not over")
	}
	d.now = d.now.Add(2 * time.Second)
	if n := d.many(500, access.ForPage, "mallory@example.com"); n != 20 {
		t.Errorf("in the next minute %d", n)
	}
}

func TestOnePersonDoesNotSpendActionsOrEnds(t *testing.T) {
	for p, want := range map[access.Purpose]int{access.ForAction: 40, access.ForEnd: 50} {
		if n := newDesk(nil, 0).many(500, p, "mallory@example.com"); n != want {
			t.Errorf("purpose %d: %d, want %d", p, n, want)
		}
	}
}

// TestNoMinuteHasMore: not in the minute of the clock, but in any.
func TestNoMinuteHasMore(t *testing.T) {
	d := newDesk(nil, 0)
	d.now = d.now.Add(50 * time.Second)
	made := d.many(500, access.ForPage, "")
	for range 11 {
		d.now = d.now.Add(5 * time.Second)
		made += d.many(500, access.ForPage, "")
	}
	if made != 80 {
		t.Errorf("%d calls in 55 seconds", made)
	}
}

// Nor does one person have twice their part around the turn of a minute.
func TestNoMinuteOfAPersonHasMore(t *testing.T) {
	d := newDesk(nil, 0)
	d.many(1, access.ForPage, "ana@example.com")
	d.now = d.now.Add(55 * time.Second)
	made := d.many(500, access.ForPage, "mallory@example.com")
	for range 11 {
		d.now = d.now.Add(5 * time.Second)
		made += d.many(500, access.ForPage, "mallory@example.com")
	}
	if made != 20 {
		t.Errorf("%d calls in 55 seconds", made)
	}
	_, refusal := d.Enter(policies, access.ForPage, "mallory@example.com")
	if refusal == nil || !refusal.Own || refusal.Wait != 6*time.Second {
		t.Errorf("%+v", refusal)
	}
	d.now = d.now.Add(6 * time.Second)
	if d.many(1, access.ForPage, "mallory@example.com") != 1 {
		t.Error("not when it was said")
	}
}

func TestRaisedQuotas(t *testing.T) {
	if n := newDesk(quota.Limits{"assetinventory.policies": 1000}, 0).many(5000, access.ForPage, ""); n != 800 {
		t.Errorf("%d", n)
	}
}

// TestCircuit: a quota that Google has called spent is left alone, longer each time, and
// one call finds out whether it is again there.
func TestCircuit(t *testing.T) {
	for rule, c := range map[string]struct {
		random float64
		after  time.Duration
		wait   []time.Duration
	}{
		"longer each time, up to a minute": {0, 0, []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second,
			time.Minute, time.Minute}},
		"not together":            {0.5, 0, []time.Duration{6250 * time.Millisecond, 12500 * time.Millisecond}},
		"as long as Google asks":  {0, 30 * time.Second, []time.Duration{30 * time.Second, 30 * time.Second, 30 * time.Second, 40 * time.Second}},
		"but not for ever":        {0, time.Hour, []time.Duration{10 * time.Minute}},
		"no shorter than our own": {0, time.Second, []time.Duration{5 * time.Second}},
	} {
		t.Run(rule, func(t *testing.T) {
			d := newDesk(nil, c.random)
			if !d.call(access.ForPage, "", quota.Spent, c.after) {
				t.Fatal("not made")
			}
			for i, wait := range c.wait {
				d.now = d.now.Add(wait - time.Millisecond)
				if d.call(access.ForPage, "", quota.Answered, 0) {
					t.Fatalf("%d: made before %v", i, wait)
				}
				d.now = d.now.Add(time.Millisecond)
				if !d.call(access.ForPage, "", quota.Spent, c.after) {
					t.Fatalf("%d: not made after %v", i, wait)
				}
			}
		})
	}
}

func TestOneCallFindsOut(t *testing.T) {
	d := newDesk(nil, 0)
	d.call(access.ForPage, "", quota.Spent, 0)
	d.now = d.now.Add(5 * time.Second)
	leave, refusal := d.Enter(policies, access.ForPage, "")
	if refusal != nil {
		t.Fatal("nobody finds out")
	}
	if d.call(access.ForPage, "", quota.Answered, 0) {
		t.Error("two find out at once")
	}
	leave(quota.Silent, 0)
	leave, refusal = d.Enter(policies, access.ForPage, "")
	if refusal != nil {
		t.Fatal("who heard nothing keeps others from finding out")
	}
	leave(quota.Answered, 0)
	if n := d.many(10, access.ForPage, ""); n != 10 {
		t.Errorf("%d of 10 pages, and Google answers again", n)
	}
	// The first refusal after that is the first of its kind.
	d.call(access.ForPage, "", quota.Spent, 0)
	d.now = d.now.Add(5 * time.Second)
	if !d.call(access.ForPage, "", quota.Answered, 0) {
		t.Error("waits longer for what was long ago")
	}
}

// TestActionsGoOnWhileAQuotaIsSpent: in a bounded number of tries, of which those that
// end access get all.
func TestActionsGoOnWhileAQuotaIsSpent(t *testing.T) {
	d := newDesk(nil, 0)
	d.call(access.ForPage, "", quota.Spent, 0)
	tries := func(p access.Purpose) (made int) {
		for range 50 {
			if d.call(p, "", quota.Spent, 0) {
				made++
			}
		}
		return made
	}
	if n := tries(access.ForPage); n != 0 {
		t.Errorf("pages: %d", n)
	}
	if n := tries(access.ForAction); n != 6 {
		t.Errorf("actions: %d", n)
	}
	if n := tries(access.ForEnd); n != 4 {
		t.Errorf("ends: %d more", n)
	}
	// One of them that is answered is good news for all.
	d = newDesk(nil, 0)
	d.call(access.ForPage, "", quota.Spent, 0)
	if !d.call(access.ForEnd, "", quota.Answered, 0) || !d.call(access.ForPage, "", quota.Answered, 0) {
		t.Error("pages wait though Google answers")
	}
}

// One person who tries again and again leaves tries to the others.
func TestOnePersonDoesNotMakeAllTries(t *testing.T) {
	d := newDesk(nil, 0)
	d.call(access.ForPage, "", quota.Spent, 0)
	tries := func(by access.Principal, p access.Purpose) (made int) {
		for range 50 {
			if d.call(p, by, quota.Spent, 0) {
				made++
			}
		}
		return made
	}
	if n := tries("mallory@example.com", access.ForAction); n != 3 {
		t.Errorf("one person: %d", n)
	}
	if n := tries("ana@example.com", access.ForAction); n != 3 {
		t.Errorf("another: %d", n)
	}
	if n := tries("mallory@example.com", access.ForEnd); n != 2 {
		t.Errorf("to end: %d more", n)
	}
	if n := tries("ben@example.com", access.ForEnd); n != 2 {
		t.Errorf("others to end: %d more", n)
	}
}

// TestWhatBeganBeforeTellsNothing: calls that were under way when the quota was spent do
// not say that it is not.
func TestWhatBeganBeforeTellsNothing(t *testing.T) {
	d := newDesk(nil, 0)
	first, _ := d.Enter(policies, access.ForPage, "")
	second, _ := d.Enter(policies, access.ForPage, "")
	first(quota.Spent, 0)
	second(quota.Answered, 0)
	_, refusal := d.Enter(policies, access.ForPage, "")
	if refusal == nil {
		t.Fatal("asked again at once")
	}
	if refusal.Quota != policies || refusal.Kept || refusal.Wait != 5*time.Second {
		t.Errorf("%+v", refusal)
	}
	if leave, refusal := d.Enter(quota.Of("GET", "/v3/projects:search"), access.ForPage, ""); refusal != nil {
		t.Error("another quota is left alone too")
	} else {
		leave(quota.Answered, 0)
	}
}

// TestEveryQuotaHasARow in the documents, with its name and number.
func TestEveryQuotaHasARow(t *testing.T) {
	page, err := os.ReadFile("../../../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range quota.All() {
		row := regexp.MustCompile("(?m)^\\|.*\\| `" + regexp.QuoteMeta(q.Name) + "` \\| ([0-9,]+|bytes)").FindStringSubmatch(string(page))
		if row == nil {
			t.Errorf("%s has no row", q.Name)
		} else if n, _ := strconv.Atoi(strings.ReplaceAll(row[1], ",", "")); n != q.PerMinute {
			t.Errorf("%s: %s a minute, and it is %d", q.Name, row[1], q.PerMinute)
		}
		if !strings.Contains(string(page), q.Source) {
			t.Errorf("%s: no source", q.Name)
		}
	}
}
