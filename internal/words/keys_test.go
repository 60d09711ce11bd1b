package words

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template/parse"

	"jitaccess/internal/access"
)

// families are the keys that are put together, with what they are put together from. A
// key "error.CODE" may have the parts that Refusal looks for.
func families(t *testing.T) map[string][]string {
	var errors, unsaids []string
	for code, args := range Codes(t) {
		errors = append(errors, string(code))
		for _, part := range []string{".next", ".bare", ".bare.next", ".program"} {
			if _, ok := English().messages[errorKey(code)+part]; ok {
				errors = append(errors, string(code)+part)
			}
		}
		unsaids = append(unsaids, args...)
	}
	var titles []string
	for _, status := range []int{400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429, 500, 501, 502, 503, 504} {
		titles = append(titles, strconv.Itoa(status))
	}
	channels := []string{"mail", "slack", "googlechat", "teams", "webhook"}
	kinds := []string{"projects", "folders", "organizations", "apps"}
	for _, kind := range kinds {
		if _, err := access.ParseResource(kind + "/1"); err != nil {
			t.Fatal(err)
		}
	}
	return map[string][]string{
		"error.": append(errors, "violation"), "title.": titles, "unsaid.": unsaids, "kind.": kinds, "notice.kind.": kinds,
		"channel.": append(channels, "pubsub"), "review.said.": {string(access.Approve), string(access.Deny)},
		"state.": {string(access.Pending), string(access.Active), string(access.Ended), string(access.Expired), string(access.Denied),
			string(access.Lapsed), string(access.Approved), string(access.Failed), string(access.Withdrawn), string(access.Scheduled), "later"},
		"list.attestation.": {string(access.SignedElsewhere), string(access.Altered), string(access.PartlyErased), string(access.Unlooked)},
		"apps.did.":         {"created", "set", "propose", "agree", "drop", "seal"},
		"apps.change.":      {"created", "active", "uri", "keys", "hosts", "template"},
		"difference.": {string(access.NotRemembered), string(access.FoundStanding), string(access.NotDecided), string(access.LiveAgain),
			string(access.NotStanding), string(access.OtherWindow), string(access.OtherGrant), string(access.Damaged), string(access.TooLong),
			string(access.Edited), string(access.Imitated), string(access.Untitled)},
		"terms.passed.":          {"role", "resource", "requester", "changes_permissions", "hours", "dates"},
		"notifications.channel.": channels, "notifications.took.": channels, "notifications.look.": channels,
		"notifications.hint.": channels, "notifications.accepted.": channels, "notifications.unset.": channels,
		"notifications.kind.": {string(access.NoticeReview), string(access.NoticeApproved), string(access.NoticeDenied), string(access.NoticeWithdrawn),
			string(access.NoticeEnded), string(access.NoticeBounced), string(access.NoticeGlass), string(access.NoticeGlassReviewed),
			string(access.NoticeReminder), string(access.NoticeEscalated), string(access.NoticeEnding), string(access.NoticePasskeyAdded),
			string(access.NoticePasskeyApproved), string(access.NoticePasskeyRemoved), string(access.NoticeChangeWaits),
			string(access.NoticeChangedAlone), string(access.NoticeReconciled),
			string(access.NoticeSelfApproved), string(access.NoticeHappened), "test"},
	}
}

// use is a place where a message is asked for.
type use struct {
	at, key string
	// arguments are nil where only the key is known.
	arguments []string
	// plain is whether markup would be shown as it is.
	plain bool
}

// TestKeysAndTheirUsesAgree finds keys that nobody asks for, places that ask for what
// is not there, and arguments that a message does not have or does not get.
func TestKeysAndTheirUsesAgree(t *testing.T) {
	uses := append(templateUses(t), codeUses(t)...)
	if len(uses) < 200 {
		t.Fatalf("only %d uses were found", len(uses))
	}
	used := map[string]bool{}
	for _, u := range uses {
		m, ok := English().messages[u.key]
		if !ok {
			t.Errorf("%s asks for %s, which is not there", u.at, u.key)
			continue
		}
		used[u.key] = true
		if u.plain && marks(m) != nil {
			t.Errorf("%s would show the markup of %s", u.at, u.key)
		}
		if want := arguments(m); u.arguments != nil && !slices.Equal(want, u.arguments) {
			t.Errorf("%s gives %s the arguments %v; it has %v", u.at, u.key, u.arguments, want)
		}
	}
	for prefix, members := range families(t) {
		for _, member := range members {
			if _, ok := English().messages[prefix+member]; !ok && prefix != "unsaid." {
				t.Errorf("%s%s is not there", prefix, member)
			}
			used[prefix+member] = true
		}
	}
	used["unsaid.provider"] = true
	for key := range English().messages {
		if !used[key] {
			t.Errorf("nobody asks for %s", key)
		}
	}
}

// templateUses are the uses of say and message in the pages' templates.
func templateUses(t *testing.T) []use {
	files, err := filepath.Glob("../../web/templates/*.html")
	if err != nil || files == nil {
		t.Fatal("no templates", err)
	}
	var uses []use
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tree := parse.New(filepath.Base(file))
		tree.Mode = parse.SkipFuncCheck
		trees := map[string]*parse.Tree{}
		if _, err := tree.Parse(string(text), "", "", trees); err != nil {
			t.Fatal(err)
		}
		for _, tree := range trees {
			walkTemplate(tree.Root, func(c *parse.CommandNode) {
				name, ok := c.Args[0].(*parse.IdentifierNode)
				if !ok || name.Ident != "say" && name.Ident != "message" {
					return
				}
				u := use{at: filepath.Base(file), key: c.Args[1].(*parse.StringNode).Text}
				if name.Ident == "say" {
					u.arguments = []string{}
					for i := 2; i < len(c.Args); i += 2 {
						u.arguments = append(u.arguments, c.Args[i].(*parse.StringNode).Text)
					}
					slices.Sort(u.arguments)
				}
				uses = append(uses, u)
			})
		}
	}
	return uses
}

func walkTemplate(n parse.Node, found func(*parse.CommandNode)) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n != nil {
			for _, each := range n.Nodes {
				walkTemplate(each, found)
			}
		}
	case *parse.IfNode:
		walkBranch(n.BranchNode, found)
	case *parse.RangeNode:
		walkBranch(n.BranchNode, found)
	case *parse.WithNode:
		walkBranch(n.BranchNode, found)
	case *parse.ActionNode:
		walkTemplate(n.Pipe, found)
	case *parse.TemplateNode:
		walkTemplate(n.Pipe, found)
	case *parse.PipeNode:
		if n == nil {
			return
		}
		for _, c := range n.Cmds {
			found(c)
			for _, a := range c.Args {
				walkTemplate(a, found)
			}
		}
	}
}

func walkBranch(b parse.BranchNode, found func(*parse.CommandNode)) {
	walkTemplate(b.Pipe, found)
	walkTemplate(b.List, found)
	walkTemplate(b.ElseList, found)
}

// askers are the functions of the product that take a key and its arguments.
var askers = map[string]int{"Text": 0, "HTML": 0, "frame": 1}

// codeUses are the uses of askers in the product's code, and every other literal that
// is a key.
func codeUses(t *testing.T) []use {
	var uses []use
	err := filepath.WalkDir("../..", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") ||
			strings.HasPrefix(file, "../../internal/sandbox") {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if u, ok := callUse(file, n); ok {
					uses = append(uses, u)
				}
			case *ast.BasicLit:
				if key, err := strconv.Unquote(n.Value); err == nil && strings.Contains(key, ".") {
					if _, ok := English().messages[key]; ok {
						uses = append(uses, use{at: file, key: key})
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return uses
}

func callUse(file string, call *ast.CallExpr) (use, bool) {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return use{}, false
	}
	at, ok := askers[f.Sel.Name]
	if !ok || len(call.Args) <= at {
		return use{}, false
	}
	key, ok := literal(call.Args[at])
	if !ok {
		return use{}, false
	}
	u := use{at: fmt.Sprintf("%s, %s", file, f.Sel.Name), key: key, arguments: []string{}, plain: f.Sel.Name != "HTML"}
	for i := at + 1; i < len(call.Args); i += 2 {
		name, _ := literal(call.Args[i])
		u.arguments = append(u.arguments, name)
	}
	slices.Sort(u.arguments)
	return u, true
}

func literal(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(l.Value)
	return text, err == nil
}
