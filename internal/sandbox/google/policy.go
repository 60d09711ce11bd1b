package google

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
)

// Policy is an allow policy,
// https://cloud.google.com/iam/docs/reference/rest/v1/Policy.
type Policy struct {
	Version      int           `json:"version,omitempty"`
	Bindings     []Binding     `json:"bindings,omitempty"`
	AuditConfigs []AuditConfig `json:"auditConfigs,omitempty"`
	Etag         string        `json:"etag,omitempty"`
}

// Binding gives a role to members.
type Binding struct {
	Role      string     `json:"role"`
	Members   []string   `json:"members,omitempty"`
	Condition *Condition `json:"condition,omitempty"`
}

// Condition says when a binding counts.
type Condition struct {
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	Expression  string `json:"expression,omitempty"`
	Location    string `json:"location,omitempty"`
}

// AuditConfig says which accesses are logged.
type AuditConfig struct {
	Service         string           `json:"service"`
	AuditLogConfigs []AuditLogConfig `json:"auditLogConfigs,omitempty"`
}

// AuditLogConfig is one kind of access.
type AuditLogConfig struct {
	LogType         string   `json:"logType"`
	ExemptedMembers []string `json:"exemptedMembers,omitempty"`
}

func (p Policy) conditional() bool {
	return slices.ContainsFunc(p.Bindings, func(b Binding) bool { return b.Condition != nil })
}

// shown is the policy as a reader of a version sees it. A policy without
// conditions is version 1 whatever was asked. Readers who did not ask for version
// 3 see no conditions; the role's name then says that there was one.
// https://cloud.google.com/iam/docs/policies#versions
func (p Policy) shown(version int) Policy {
	p.Version = 1
	if !p.conditional() {
		return p
	}
	if version >= 3 {
		p.Version = 3
		return p
	}
	p.Bindings = slices.Clone(p.Bindings)
	for i, b := range p.Bindings {
		if b.Condition != nil {
			hash := sha256.Sum256([]byte(b.Condition.Title + "\x00" + b.Condition.Expression))
			p.Bindings[i] = Binding{Role: b.Role + "_withcond_" + hex.EncodeToString(hash[:10]), Members: b.Members}
		}
	}
	return p
}

// store replaces a policy under a new etag. The first write of an untouched node
// that says nothing keeps the etag of a policy that was never set.
func (c *Cloud) store(n *node, p Policy) {
	if c.reorder {
		p = rearranged(p)
	}
	p.Version = 0
	p.Etag = "ACAB"
	if len(p.Bindings) > 0 || len(p.AuditConfigs) > 0 || n.policy.Etag != "" {
		// As Google's look: a seven, then microseconds.
		c.lastEtag = max(c.lastEtag+1, c.now().UnixMicro())
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], uint64(c.lastEtag)|7<<56)
		p.Etag = base64.StdEncoding.EncodeToString(b[:])
	}
	n.policy = p
	if !c.frozen {
		n.inventory = p
	}
}

// rearranged joins bindings that differ in members only and sorts everything.
func rearranged(p Policy) Policy {
	var merged []Binding
	for _, b := range p.Bindings {
		i := slices.IndexFunc(merged, func(m Binding) bool { return sameTerms(m, b) })
		if i < 0 {
			i = len(merged)
			merged = append(merged, Binding{Role: b.Role, Condition: b.Condition})
		}
		merged[i].Members = append(merged[i].Members, b.Members...)
	}
	for i := range merged {
		slices.Sort(merged[i].Members)
		merged[i].Members = slices.Compact(merged[i].Members)
	}
	slices.SortStableFunc(merged, func(a, b Binding) int { return strings.Compare(a.Role, b.Role) })
	p.Bindings = merged
	return p
}

func sameTerms(a, b Binding) bool {
	if a.Role != b.Role || (a.Condition == nil) != (b.Condition == nil) {
		return false
	}
	return a.Condition == nil || *a.Condition == *b.Condition
}

// getOptions is the body of getIamPolicy.
type getOptions struct {
	Options struct {
		RequestedPolicyVersion int `json:"requestedPolicyVersion"`
	} `json:"options"`
}

func (c *Cloud) getIamPolicy(k *call, n *node, permission string) (any, error) {
	var body getOptions
	if err := k.read(&body); err != nil {
		return nil, err
	}
	version := body.Options.RequestedPolicyVersion
	if v := k.URL.Query().Get("options.requestedPolicyVersion"); v == "3" {
		version = 3
	}
	if !slices.Contains([]int{0, 1, 3}, version) {
		return nil, invalid("Invalid policy version. The requested policy version must be 0, 1 or 3.")
	}
	if err := c.require(k, permission, n, nil); err != nil {
		return nil, err
	}
	return n.policy.shown(version), nil
}

// setRequest is the body of setIamPolicy.
type setRequest struct {
	Policy     *Policy `json:"policy"`
	UpdateMask string  `json:"updateMask"`
}

// setIamPolicy replaces a policy,
// https://cloud.google.com/resource-manager/reference/rest/v3/projects/setIamPolicy.
func (c *Cloud) setIamPolicy(k *call, n *node, permission string) (any, error) {
	var body setRequest
	if err := k.read(&body); err != nil {
		return nil, err
	}
	if body.Policy == nil {
		return nil, invalid("Request contains an invalid argument: policy is required.")
	}
	wanted := *body.Policy
	for i, b := range wanted.Bindings {
		if b.Condition != nil && *b.Condition == (Condition{}) {
			wanted.Bindings[i].Condition = nil
		}
	}
	// What may be modified depends on which roles are.
	var old Policy
	if n != nil {
		old = n.policy
	}
	attributes := map[string]any{"iam.googleapis.com/modifiedGrantsByRole": modifiedRoles(old, wanted)}
	if err := c.require(k, permission, n, attributes); err != nil {
		return nil, err
	}
	if err := checkVersion(old, wanted); err != nil {
		return nil, err
	}
	next, err := c.masked(old, wanted, body.UpdateMask)
	if err != nil {
		return nil, err
	}
	if err := c.checkPolicy(n, old, next); err != nil {
		return nil, err
	}
	c.replace(n, next, k.caller.member, k.Header.Get("X-Goog-Request-Reason"))
	return n.policy.shown(3), nil
}

// checkVersion is the read-modify-write rule. Without an etag nothing is compared,
// and a version 1 policy may replace one with conditions, which are then lost:
// Google warns of it and lets it happen.
func checkVersion(old, wanted Policy) error {
	if !slices.Contains([]int{0, 1, 3}, wanted.Version) {
		return invalid("Invalid policy version %d. Valid values are 0, 1 and 3.", wanted.Version)
	}
	if wanted.Version < 3 && wanted.conditional() {
		return invalid("Policies with conditional role bindings must specify version 3; version %d was specified.", wanted.Version)
	}
	if wanted.Etag == "" {
		return nil
	}
	// Bytes are read in either alphabet of Base64; gcloud sends the one for URLs
	// (https://protobuf.dev/programming-guides/json/).
	etag := strings.NewReplacer("-", "+", "_", "/").Replace(wanted.Etag)
	if _, err := base64.StdEncoding.DecodeString(etag); err != nil {
		return invalid("Invalid value at 'policy.etag' (TYPE_BYTES), Base64 decoding failed.")
	}
	if etag != old.Etag {
		return conflict()
	}
	if wanted.Version < 3 && old.conditional() {
		return invalid("A policy that contains conditional role bindings can only be modified with version 3; version %d was specified.", wanted.Version)
	}
	return nil
}

// conflict is what a stale etag is answered with.
func conflict() *apiError {
	return failure(http.StatusConflict, "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.")
}

// masked takes the fields of the mask from the wanted policy and the others from
// the old one. Without a mask they are the bindings and the etag.
func (c *Cloud) masked(old, wanted Policy, mask string) (Policy, error) {
	if mask == "" {
		mask = "bindings,etag"
		if c.wholePolicy {
			mask = "*"
		}
	}
	next := old
	for _, field := range strings.Split(mask, ",") {
		switch strings.TrimSpace(field) {
		case "bindings":
			next.Bindings = wanted.Bindings
		case "auditConfigs", "audit_configs":
			next.AuditConfigs = wanted.AuditConfigs
		case "*":
			next.Bindings, next.AuditConfigs = wanted.Bindings, wanted.AuditConfigs
		case "etag", "version":
		default:
			return Policy{}, invalid("Invalid update mask path %q.", field)
		}
	}
	return next, nil
}

// modifiedRoles are the roles that some member gains, loses, or has under other
// conditions.
func modifiedRoles(old, next Policy) []string {
	type grant struct {
		role, member string
		condition    Condition
	}
	grants := func(p Policy) map[grant]bool {
		all := map[grant]bool{}
		for _, b := range p.Bindings {
			for _, m := range b.Members {
				g := grant{role: b.Role, member: m}
				if b.Condition != nil {
					g.condition = *b.Condition
				}
				all[g] = true
			}
		}
		return all
	}
	a, b := grants(old), grants(next)
	roles := []string{}
	for g := range a {
		if !b[g] {
			roles = append(roles, g.role)
		}
	}
	for g := range b {
		if !a[g] {
			roles = append(roles, g.role)
		}
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}
