// Package quota knows Google's quotas: which calls each counts, how many it allows, and
// who may spend it. What is nearly spent is kept for those who act, and what Google has
// called spent is left alone for a while.
package quota

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Quota is how often some calls may be made in a minute, by all that runs in the
// service's project together.
type Quota struct {
	// Name is what an operator calls it.
	Name string
	// PerMinute is what a project has before it asks for more; 0 where calls are not
	// what Google counts.
	PerMinute int
	// Source is where Google says so.
	Source string

	counts func(method, path string) bool
}

const (
	resourceManagerLimits = "https://cloud.google.com/resource-manager/docs/limits"
	assetLimits           = "https://cloud.google.com/asset-inventory/docs/quota"
	iamLimits             = "https://cloud.google.com/iam/quotas"
)

// all are the quotas that the service spends, with the values that Google documents.
var all = []*Quota{
	{"resourcemanager.search", 240, resourceManagerLimits, func(method, path string) bool {
		return path == "/v3/projects:search" || path == "/v3/folders:search"
	}},
	{"resourcemanager.read", 600, resourceManagerLimits, func(method, path string) bool {
		return strings.HasPrefix(path, "/v3/") && (ends(path, ":getIamPolicy", ":testIamPermissions") ||
			method == "GET" && !strings.HasPrefix(path, "/v3/projects"))
	}},
	{"resourcemanager.get", 600, resourceManagerLimits, func(method, path string) bool {
		return method == "GET" && strings.HasPrefix(path, "/v3/projects/")
	}},
	{"resourcemanager.write", 600, resourceManagerLimits, func(_, path string) bool {
		return strings.HasPrefix(path, "/v3/") && ends(path, ":setIamPolicy")
	}},
	{"assetinventory.policies", 100, assetLimits, func(_, path string) bool {
		return ends(path, "/effectiveIamPolicies:batchGet")
	}},
	{"assetinventory.searches", 400, assetLimits, func(_, path string) bool {
		return ends(path, ":searchAllIamPolicies")
	}},
	{"policyanalyzer.analyses", 100, assetLimits, func(_, path string) bool {
		return ends(path, ":analyzeIamPolicy")
	}},
	{"directory.queries", 2400,
		"https://developers.google.com/workspace/admin/directory/v1/limits", func(_, path string) bool {
			return strings.HasPrefix(path, "/admin/directory/v1/")
		}},
	{"iamcredentials.sign", 60_000, iamLimits, func(_, path string) bool { return ends(path, ":signJwt", ":signBlob") }},
	{"iamcredentials.generate", 60_000, iamLimits, func(_, path string) bool { return ends(path, ":generateAccessToken") }},
	{"secretmanager.access", 90_000, "https://cloud.google.com/secret-manager/quotas", func(_, path string) bool {
		return strings.Contains(path, "/secrets/") && ends(path, ":access")
	}},
	// Counted in bytes.
	{"pubsub.publish", 0, "https://cloud.google.com/pubsub/quotas", func(_, path string) bool {
		return strings.Contains(path, "/topics/") && ends(path, ":publish")
	}},
	{"iam.read", 6000, iamLimits, func(method, path string) bool {
		return strings.HasPrefix(path, "/v1/") &&
			(method == "GET" && (strings.Contains(path, "/roles/") || strings.Contains(path, "/serviceAccounts/")) ||
				ends(path, "/roles:queryGrantableRoles"))
	}},
}

func ends(path string, with ...string) bool {
	return slices.ContainsFunc(with, func(end string) bool { return strings.HasSuffix(path, end) })
}

// All are the quotas that the service spends.
func All() []*Quota { return slices.Clone(all) }

// Of is the quota that counts a call, by its HTTP method and the path of its address;
// nil when none does.
func Of(method, path string) *Quota {
	for _, q := range all {
		if q.counts(method, path) {
			return q
		}
	}
	return nil
}

// Limits are quotas that differ from what Google documents: calls a minute, by name.
type Limits map[string]int

// UnmarshalText reads NAME=NUMBER, several separated by commas. Empty is none.
func (l *Limits) UnmarshalText(text []byte) error {
	*l = nil
	for part := range strings.SplitSeq(string(text), ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		n, err := strconv.Atoi(strings.TrimSpace(value))
		name = strings.TrimSpace(name)
		if err != nil || n < 1 || !slices.ContainsFunc(all, func(q *Quota) bool { return q.Name == name && q.PerMinute > 0 }) {
			return fmt.Errorf("%.60q is not the name of a quota with a number", part)
		}
		if *l == nil {
			*l = Limits{}
		}
		(*l)[name] = n
	}
	return nil
}
