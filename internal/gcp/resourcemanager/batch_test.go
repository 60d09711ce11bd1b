package resourcemanager_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/resourcemanager"
)

// together sends grants so that the first is written alone and the others share
// the write after it, and returns what became of each.
func together(t *testing.T, g *google, grants []access.Grant, check func(i int) error) (outcomes [][]access.Outcome, errs []error) {
	granter := resourcemanager.NewGranter(clientOf(&delayed{g, 100 * time.Millisecond}), standings{})
	outcomes, errs = make([][]access.Outcome, len(grants)), make([]error, len(grants))
	var wg sync.WaitGroup
	for i, grant := range grants {
		wg.Go(func() {
			outcomes[i], errs[i] = granter.Grant(t.Context(), grant, query(grant), func(access.Standing) error { return check(i) })
		})
		synctest.Wait()
	}
	wg.Wait()
	return outcomes, errs
}

// refuseRole is Google refusing every write that adds a role.
func refuseRole(role string, status int, text string) func(int, string) *fault {
	return func(_ int, body string) *fault {
		if strings.Contains(body, `"role":"`+role+`"`) {
			return &fault{status: status, body: problem(status, "X", text)}
		}
		return nil
	}
}

func fourGrants() []access.Grant {
	var grants []access.Grant
	for i, role := range []access.Role{"roles/a", "roles/b", "roles/bad", "roles/c"} {
		grants = append(grants, grantTo(access.Principal(fmt.Sprintf("user%d@example.com", i)), fmt.Sprintf("mpa-%016d", i), role))
	}
	return grants
}

func TestABatchThatIsRefusedIsSplitByRequest(t *testing.T) {
	for status, code := range map[int]access.Code{400: access.CodeRoleNotGrantable, 403: access.CodeServiceNotAllowed} {
		synctest.Test(t, func(t *testing.T) {
			g := newGoogle(t, foreign)
			g.onWrite = refuseRole("roles/bad", status, "Role roles/bad is not supported for this resource.")
			outcomes, errs := together(t, g, fourGrants(), func(int) error { return nil })
			for i := range outcomes {
				if i == 2 {
					if codeOf(errs[i]) != code {
						t.Errorf("%d: the bad one: %s, %v", status, results(outcomes[i]), errs[i])
					}
				} else if errs[i] != nil || results(outcomes[i]) != "granted" || g.ofRequest(fmt.Sprintf("mpa-%016d", i)) != 1 {
					t.Errorf("%d: %d: %s, %v", status, i, results(outcomes[i]), errs[i])
				}
			}
			if len(g.bindings) != 4 || string(g.bindings[0]) != foreign {
				t.Errorf("%d: %s", status, g.bindings)
			}
		})
	}
}

func TestARequestThatFailsItsCheckLeavesTheBatchAlone(t *testing.T) {
	refusal := &access.Error{Kind: access.NotAllowed, Code: access.CodeRequesterLost}
	for name, check := range map[string]func(i int) error{
		"an error": func(i int) error {
			if i == 2 {
				return refusal
			}
			return nil
		},
		"a panic": func(i int) error {
			if i == 2 {
				panic("broken")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGoogle(t)
				outcomes, errs := together(t, g, fourGrants(), check)
				if errs[2] == nil || g.writes != 2 || len(g.bindings) != 3 || name == "an error" && !errors.Is(errs[2], refusal) {
					t.Errorf("%v, %d writes, %s", errs[2], g.writes, g.bindings)
				}
				for _, i := range []int{0, 1, 3} {
					if errs[i] != nil || results(outcomes[i]) != "granted" {
						t.Errorf("%d: %s, %v", i, results(outcomes[i]), errs[i])
					}
				}
			})
		})
	}
}

func TestThreat32_RolesThatMayNotBeChangedDoNotHoldUpTheOthers(t *testing.T) {
	tests := map[string]struct {
		onWrite func(int, string) *fault
		want    string
		code    access.Code
		writes  int
	}{
		"403 for one role: the others stand": {refuseRole("roles/bad", 403, "no"),
			"granted, refused service-not-allowed, granted", "", 4},
		"403 for all: nothing was granted": {always(fault{status: 403}),
			"refused service-not-allowed, refused service-not-allowed, refused service-not-allowed", access.CodeServiceNotAllowed, 4},
		"400: the whole request fails": {refuseRole("roles/bad", 400, "Role roles/bad does not exist in the resource's hierarchy."),
			"", access.CodeRoleNotGrantable, 1},
		"403, and then one write is lost": {func(n int, body string) *fault {
			if n == 2 {
				return &fault{hang: true, after: true}
			}
			return refuseRole("roles/bad", 403, "no")(n, body)
		}, "granted, refused service-not-allowed, granted", "", 4},
		"403, and then Google is down": {func(n int, body string) *fault {
			if n == 1 {
				return &fault{status: 403}
			} else if n > 2 {
				return &fault{status: 503}
			}
			return nil
		}, "granted, refused upstream-failed, refused upstream-failed", "", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGoogle(t, foreign)
				g.onWrite = tt.onWrite
				grant := grantTo("alice@example.com", idA, "roles/a", "roles/bad", "roles/c")
				outcomes, err := granterOf(g).Grant(t.Context(), grant, query(grant), func(s access.Standing) error {
					if slices.ContainsFunc(s.Activations, func(a access.Activation) bool { return a.RequestID == idA }) {
						return errors.New("check was asked about what this very call has written")
					}
					return nil
				})
				if results(outcomes) != tt.want || codeOf(err) != tt.code || tt.writes > 0 && g.writes != tt.writes {
					t.Errorf("%s, %v, %d writes", results(outcomes), err, g.writes)
				}
				if code := codeOf(err); code == access.CodeRoleNotGrantable {
					if role := access.AsError(err).Args["role"]; role != "roles/bad" {
						t.Errorf("names %q", role)
					}
				}
				if n := strings.Count(tt.want, "granted"); g.ofRequest(idA) != n {
					t.Errorf("%d stand, want %d", g.ofRequest(idA), n)
				}
			})
		})
	}
}

func TestEndingIsAlsoDoneRoleByRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGoogle(t)
		granter := granterOf(g)
		grant := grantTo("alice@example.com", idA, "roles/a", "roles/b")
		if _, err := granter.Grant(t.Context(), grant, query(grant), fine); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		g.onWrite = func(n int, _ string) *fault {
			if n == 2 {
				return &fault{status: 403}
			}
			return nil
		}
		outcomes, err := granter.End(t.Context(), access.Ending{RequestID: idA, Principal: "alice@example.com", Resource: shop, At: time.Now()})
		if err != nil || results(outcomes) != "ended, ended" || g.writes != 4 || outcomes[1].Window.Length() != time.Minute {
			t.Errorf("%+v, %v, %d writes", outcomes, err, g.writes)
		}
	})
}

func TestEndingIsCertainToo(t *testing.T) {
	for name, f := range map[string]fault{"written, then reset": {reset: true, after: true}, "written, then hangs": {hang: true, after: true}, "500": {status: 500}} {
		for _, approvers := range [][]access.Principal{nil, {"bob@example.com"}} {
			synctest.Test(t, func(t *testing.T) {
				g := newGoogle(t, foreign)
				granter := granterOf(g)
				grant := grantTo("alice@example.com", idA, "roles/a")
				grant.Approvers = approvers
				if _, err := granter.Grant(t.Context(), grant, query(grant), fine); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				g.onWrite = func(n int, _ string) *fault {
					if n == 2 {
						return &f
					}
					return nil
				}
				outcomes, err := granter.End(t.Context(), access.Ending{RequestID: idA, Principal: "alice@example.com", Resource: shop, At: time.Now()})
				if err != nil || results(outcomes) != "ended" || outcomes[0].Window.Length() != time.Minute || g.ofRequest(idA) != 1 {
					t.Errorf("%s, %d approvers: %+v, %v", name, len(approvers), outcomes, err)
				}
			})
		}
	}
}

func TestACallerWhoLeavesGetsItsOwnTimeOut(t *testing.T) {
	tests := map[string]struct {
		leaves  int // who
		after   time.Duration
		want    access.Code
		written bool
	}{
		"while its write is being made":    {0, 150 * time.Millisecond, access.CodeUnknownOutcome, true},
		"before its write is made":         {0, 50 * time.Millisecond, access.CodeDeadline, false},
		"while it waits for another write": {1, 150 * time.Millisecond, access.CodeDeadline, false},
		"while the shared write is made":   {1, 350 * time.Millisecond, access.CodeUnknownOutcome, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGoogle(t)
				granter := resourcemanager.NewGranter(clientOf(&delayed{g, 100 * time.Millisecond}), standings{})
				var wg sync.WaitGroup
				for i, grant := range fourGrants() {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					wg.Go(func() {
						returned := false
						outcomes, err := granter.Grant(ctx, grant, query(grant), func(access.Standing) error {
							if returned {
								t.Error("check was called after Grant had returned")
							}
							return nil
						})
						returned = true
						if i == tt.leaves {
							if codeOf(err) != tt.want {
								t.Errorf("the one who left: %s, %v", results(outcomes), err)
							}
						} else if err != nil || results(outcomes) != "granted" {
							t.Errorf("%d: %s, %v", i, results(outcomes), err)
						}
					})
					synctest.Wait()
					if i == tt.leaves {
						time.AfterFunc(tt.after, cancel)
					}
				}
				wg.Wait()
				time.Sleep(time.Minute)
				if n := g.ofRequest(fmt.Sprintf("mpa-%016d", tt.leaves)); (n == 1) != tt.written {
					t.Errorf("%d stand", n)
				}
			})
		})
	}
}

// Between attempts nothing is under way; after a part was made, something stands.
func TestACallerWhoLeavesBetweenWrites(t *testing.T) {
	tests := map[string]struct {
		onWrite func(int, string) *fault
		want    access.Code
		stands  int
	}{
		"after a conflict":      {always(fault{status: 409}), access.CodeDeadline, 0},
		"after an unsure write": {first(1, fault{reset: true}), access.CodeUnknownOutcome, 0},
		"after one of two roles": {func(n int, _ string) *fault {
			switch n {
			case 1:
				return &fault{status: 403}
			case 2:
				return nil
			}
			return &fault{status: 409}
		}, access.CodeUnknownOutcome, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGoogle(t)
				g.onWrite = tt.onWrite
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				time.AfterFunc(90*time.Millisecond, cancel) // within the first pause, of 100 ms
				grant := grantTo("alice@example.com", idA, "roles/a", "roles/b")
				if _, err := granterOf(g).Grant(ctx, grant, query(grant), fine); codeOf(err) != tt.want {
					t.Errorf("got %v", err)
				}
				time.Sleep(time.Minute)
				if n := g.ofRequest(idA); n != tt.stands {
					t.Errorf("%d stand", n)
				}
			})
		})
	}
}

// What is already granted only because of a write that then fails is not granted.
func TestAnIdenticalRequestSharesTheFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGoogle(t)
		g.onWrite = failAfter(1, fault{status: 404})
		grants := fourGrants()[:1]
		same := grantTo("alice@example.com", idA, "roles/a")
		_, errs := together(t, g, append(grants, same, same), func(int) error { return nil })
		if codeOf(errs[1]) != access.CodeUnknownResource || codeOf(errs[2]) != access.CodeUnknownResource || g.ofRequest(idA) != 0 {
			t.Errorf("%v", errs)
		}
	})
}

// Threat 41: Google's audit log has every write with the ids of its requests, which is
// a record that nobody who can change our log can change. The chain of the ledger,
// which is to keep the rest, comes with it.
func TestThreat41_EveryWriteIsInASecondRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGoogle(t)
		grants := fourGrants()
		if _, errs := together(t, g, grants, func(int) error { return nil }); errors.Join(errs...) != nil {
			t.Fatal(errs)
		}
		// Refused for several roles, and written role by role.
		first := g.writes + 1
		g.onWrite = func(n int, _ string) *fault {
			if n == first {
				return &fault{status: 403}
			}
			return nil
		}
		two := grantTo("zoe@example.com", idB, "roles/x", "roles/y")
		if _, err := granterOf(g).Grant(t.Context(), two, query(two), fine); err != nil {
			t.Fatal(err)
		}
		for _, grant := range append(grants, two) {
			if _, err := granterOf(g).End(t.Context(), access.Ending{RequestID: grant.RequestID, Principal: grant.Principal, Resource: grant.Resource, At: grant.Window.Start}); err != nil {
				t.Fatal(err)
			}
		}
		if len(g.reasons) != g.writes {
			t.Fatalf("%d writes, %d reasons", g.writes, len(g.reasons))
		}
		said := strings.Join(g.reasons, "\n")
		for _, reason := range g.reasons {
			if !strings.Contains(reason, "[mpa-") {
				t.Errorf("a write says %q", reason)
			}
		}
		for _, grant := range append(grants, two) {
			id := "[" + grant.RequestID + "]"
			if strings.Count(said, id) < 2 || !strings.Contains(said, "Ended early, of "+string(grant.Principal)+" "+id) {
				t.Errorf("%s is not there for its grant and its end:\n%s", id, said)
			}
		}
	})
}

func TestRequestReasonIsShortAndPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGoogle(t)
		var grants []access.Grant
		for i := range 11 {
			grant := grantTo(access.Principal(fmt.Sprintf("user%d@example.com", i)), fmt.Sprintf("mpa-%016d", i), "roles/a")
			grant.Justification = strings.Repeat("größer\n", 30)
			grant.Approvers = []access.Principal{access.Principal(strings.Repeat("a", 5*i) + "b@example.com")}
			grants = append(grants, grant)
		}
		_, errs := together(t, g, grants, func(int) error { return nil })
		if err := errors.Join(errs...); err != nil || len(g.reasons) != 2 {
			t.Fatalf("%v, %q", err, g.reasons)
		}
		for _, reason := range g.reasons {
			if len(reason) > 1024 || strings.ContainsFunc(reason, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("reason %q", reason)
			}
		}
		for i := 1; i < 11; i++ {
			if !strings.Contains(g.reasons[1], fmt.Sprintf("[mpa-%016d]", i)) {
				t.Errorf("the id of %d is missing: %s", i, g.reasons[1])
			}
		}
	})
}

func TestPreviewMakesNoCallsAndSaysWhatIsWritten(t *testing.T) {
	grant := grantTo("alice@example.com", idA, "roles/a", "roles/owner")
	found, err := resourcemanager.NewGranter(clientOf(nil), nil).Preview(grant)
	if len(found) != 1 || !strings.Contains(found[0].Text, `"user:alice@example.com"`) || found[0].Title != "roles/a" {
		t.Errorf("%+v", found)
	}
	// What cannot be written is an error in words, not a text that stands as a binding.
	if e := access.AsError(err); codeOf(err) != access.CodeBasicRoleRefused || e.Args["role"] != "roles/owner" {
		t.Errorf("of a basic role: %v", err)
	}
}

func TestLimitsAreToldPerEntitlement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bindings []string
		for range 20 {
			bindings = append(bindings, `{"role":"roles/a","members":["user:alice@example.com"]}`)
		}
		bindings = append(bindings, `{"role":"roles/viewer","members":[`+strings.Repeat(`"group:a@example.com",`, 1200)+`"group:b@example.com"]}`)
		g := newGoogle(t, bindings...)
		grant := grantTo("alice@example.com", idA, "roles/a", "roles/b")
		var warned *access.Error
		outcomes, err := granterOf(g).Grant(t.Context(), grant, query(grant), func(s access.Standing) error {
			warned = s.Warnings[0]
			return nil
		})
		if err != nil || results(outcomes) != "refused too-many-grants, granted" || warned.Code != access.CodePolicyNearlyFull {
			t.Errorf("%s, %v, %v", results(outcomes), err, warned)
		}
	})
}
