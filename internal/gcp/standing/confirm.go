package standing

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/iampolicy"
)

// maxDepth is how many folders may be in one another, and an organization around them
// (https://cloud.google.com/resource-manager/docs/limits).
const maxDepth = 11

// ahead reads what confirm will most likely need, while the source looks: the policies of
// nodes that carry what was asked for, by whatever they said last, and parents. What is
// missing is read later, and what is too much is not used.
func (l *look) ahead(ctx context.Context, known []Node) {
	table, _ := l.tableOf(known)
	needed := table.Carrying(l.q.Of)
	for _, node := range needed {
		l.policyOf(ctx, node)
	}
	l.tree(ctx, known, needed)
}

// policyOf begins to read the live policy of a node, once, and parentOf what it is in.
func (l *look) policyOf(ctx context.Context, node access.Resource) func() (*iampolicy.Policy, error) {
	return begin(&l.mu, l.live, node, func() (*iampolicy.Policy, error) { return l.k.ancestors.Get(ctx, string(node), l.q.Since) })
}

func (l *look) parentOf(ctx context.Context, node access.Resource) func() (access.Resource, error) {
	return begin(&l.mu, l.parents, node, func() (access.Resource,
		error) {
		return l.k.parents.Get(ctx, string(node), After(l.q, l.k.c.Now()))
	})
}

// parent is what a node is directly in, or why that is not known.
func (l *look) parent(ctx context.Context, node access.Resource) (access.Resource, *access.Error) {
	parent, err := l.parentOf(ctx, node)()
	return parent, gcp.Failure(err, gcp.Call{Service: "Resource Manager", Permission: "resourcemanager." + node.Kind() + ".get",
		Resource: string(node), Account: l.k.c.ServiceAccount})
}

// ancestry is all that lies above the resource, nearest first; or as much of it as the
// parents tell, and why that is not all. The policies alone do not tell: a folder that has
// none is not among them.
func (l *look) ancestry(ctx context.Context) (above []access.Resource, err *access.Error) {
	for at := l.q.Resource; len(above) <= maxDepth; at = above[len(above)-1] {
		parent, err := l.parent(ctx, at)
		if err != nil || parent == "" {
			return above, err
		}
		above = append(above, parent)
	}
	return above, gcp.Nonsense("Resource Manager", "more lies above "+string(l.q.Resource)+" than can")
}

func begin[V any](mu *sync.Mutex, begun map[access.Resource]func() (V, error), node access.Resource,
	read func() (V, error)) func() (V, error) {
	mu.Lock()
	defer mu.Unlock()
	if begun[node] == nil {
		once := sync.OnceValues(read)
		begun[node] = once
		go once()
	}
	return begun[node]
}

// tree begins to read the parents of all that is most likely below the nodes that matter:
// of nodes, which are in order where the source knows it, and of what was around the
// resource the last time.
func (l *look) tree(ctx context.Context, nodes []Node, matter []access.Resource) {
	last := -1
	for i, n := range nodes {
		if slices.Contains(matter, n.Resource) {
			last = i
		}
	}
	if len(matter) == 0 {
		return
	}
	l.parentOf(ctx, l.q.Resource)
	for _, n := range nodes[:max(last, 0)] {
		l.parentOf(ctx, n.Resource)
	}
	left := slices.Clone(matter)
	for at, n := l.q.Resource, 0; n < maxDepth; n++ {
		parent, _, ok := l.k.parents.Last(string(at), staleAge)
		left = slices.DeleteFunc(left, func(node access.Resource) bool { return node == parent })
		if !ok || parent == "" || len(left) == 0 {
			return
		}
		l.parentOf(ctx, parent)
		at = parent
	}
}

// confirm reads the live policy of every node above from which one of the principals, or
// a group of reviewers, has something that was asked for, and whether the resource is
// still below it. A node that it has left makes nobody eligible. One of which the service
// account may not read either keeps what the source says, and is marked; what cannot be
// read just now is an error, since waiting helps.
func (l *look) confirm(ctx context.Context) error {
	above := l.found.Above
	table, _ := l.tableOf(above)
	matter := table.Nodes(nil, l.q.ReviewersOf)
	for _, p := range l.q.Principals {
		held := slices.DeleteFunc(table.Holdings(p, l.found.Groups[p]), func(e access.Entitlement) bool {
			return len(l.q.Of) > 0 && !slices.Contains(l.q.Of, e.ID)
		})
		matter = append(matter, table.Nodes(held, nil)...)
	}
	matter = slices.DeleteFunc(matter, func(node access.Resource) bool { return node == l.q.Resource })
	if len(matter) == 0 {
		return nil
	}
	l.tree(ctx, above, matter)
	var g errgroup.Group
	for i, node := range above {
		if !slices.Contains(matter, node.Resource) {
			continue
		}
		g.Go(func() error {
			live, err := l.policyOf(ctx, node.Resource)()
			if err == nil {
				above[i].Policy = l.inPerson(node.Resource, live)
				return nil
			}
			failure := gcp.Failure(err, l.k.policyCall(node.Resource))
			if !outOfReach(failure) {
				return failure
			}
			above[i].Unconfirmed = true
			l.warn(&access.Error{Kind: failure.Kind, Code: access.CodeInventoryOnly,
				Args: access.Args{"resource": string(node.Resource)}, Err: failure})
			return nil
		})
	}
	var around []access.Resource
	var end *access.Error
	g.Go(func() (err error) {
		around, end, err = l.around(ctx, matter)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	for i, node := range above {
		if slices.Contains(matter, node.Resource) && !slices.Contains(around, node.Resource) {
			l.unseen(ctx, &above[i], around, end)
		}
	}
	return nil
}

func outOfReach(failure *access.Error) bool {
	return failure.Code == access.CodeServiceNotAllowed || failure.Code == access.CodeUnknownResource
}

// around are the nodes around the resource as they are now, nearest first, until all that
// matter are among them. end is why those above the last one are not known; nil when there
// are none.
func (l *look) around(ctx context.Context, matter []access.Resource) (around []access.Resource, end *access.Error, err error) {
	missing := func(node access.Resource) bool { return !slices.Contains(around, node) }
	for at := l.q.Resource; len(around) < maxDepth && slices.ContainsFunc(matter, missing); {
		parent, failure := l.parent(ctx, at)
		if failure != nil {
			if !outOfReach(failure) {
				return nil, nil, failure
			}
			return around, failure, nil
		}
		if parent == "" {
			break
		}
		around, at = append(around, parent), parent
	}
	return around, nil, nil
}

// unseen deals with a node that matters and was not seen around the resource: where all
// were seen, or one whose policy the source does not know though there is one, the resource
// has moved, and the node makes nobody eligible. Where the tree may not be read, the source
// is believed, and that is said: a folder that the source does not name may merely have no
// policy.
func (l *look) unseen(ctx context.Context, node *Node, around []access.Resource, end *access.Error) {
	isNews := func(seen access.Resource) bool {
		if slices.ContainsFunc(l.found.Above, func(n Node) bool { return n.Resource == seen }) {
			return false
		}
		live, err := l.policyOf(ctx, seen)()
		return err == nil && len(live.Bindings()) > 0
	}
	e := &access.Error{Kind: access.NotAllowed, Code: access.CodeMoved,
		Args: access.Args{"resource": string(l.q.Resource), "parent": string(node.Resource)}}
	if end == nil || l.found.Whole && slices.ContainsFunc(around, isNews) {
		node.Policy = iampolicy.New(nil)
	} else {
		node.Unconfirmed = true
		e.Kind, e.Code, e.Err = end.Kind, access.CodeTreeUnconfirmed, end
	}
	l.warn(e)
}
