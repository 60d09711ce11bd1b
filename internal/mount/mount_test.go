package mount

import "testing"

// What Linux says in containers and on machines; the first line of each is that of /.
const (
	overlayRoot = "1301 1127 0:184 / / rw,relatime master:351 - overlay overlay rw,lowerdir=/l/A:/l/B,upperdir=/u,workdir=/w\n"
	diskRoot    = "29 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n"
	proc        = "1302 1301 0:187 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw\n"
	memory      = "1303 1301 0:188 / /dev/shm rw,nosuid,nodev - tmpfs tmpfs rw,size=65536k\n"
)

// line is of something of the host's that is mounted at /data.
func line(root, options string) string {
	return "1310 1301 8:1 " + root + " /data rw,relatime" + options + " - ext4 /dev/sda1 rw\n"
}

func TestWhatEndsWithTheContainer(t *testing.T) {
	const (
		own, inMemory = "the container's own disk", "a disk in memory"
		nameless      = "a volume without a name, which no other container gets"
		ofRuntime     = "a volume that this container has for itself"
		ofPod         = "an emptyDir, which ends with its pod"
		hex           = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"
	)
	for name, c := range map[string]struct {
		mounts, at, want string
	}{
		"nothing is mounted":                      {overlayRoot + proc + memory, "/data/jitaccess.db", own},
		"it is beside what is mounted":            {overlayRoot + line("/srv/data", ""), "/database/jitaccess.db", own},
		"it is above what is mounted":             {overlayRoot + line("/srv/data", ""), "/jitaccess.db", own},
		"Podman without root":                     {"801 700 0:51 / / rw - fuse.fuse-overlayfs fuse-overlayfs rw\n", "/data/jitaccess.db", own},
		"a folder of the host":                    {overlayRoot + proc + line("/srv/jitaccess", ""), "/data/jitaccess.db", ""},
		"deeper in a folder of the host":          {overlayRoot + line("/srv/jitaccess", ""), "/data/a/b/jitaccess.db", ""},
		"the folder itself":                       {overlayRoot + line("/srv/jitaccess", ""), "/data", ""},
		"a volume with a name":                    {overlayRoot + line("/var/lib/docker/volumes/jitaccess_memory/_data", " master:1"), "/data/jitaccess.db", ""},
		"a volume without one":                    {overlayRoot + line("/var/lib/docker/volumes/"+hex+"/_data", " master:1"), "/data/jitaccess.db", nameless},
		"the same, where volumes are a disk":      {overlayRoot + line("/volumes/"+hex+"/_data", ""), "/data/jitaccess.db", nameless},
		"the same, of Podman":                     {overlayRoot + line("/var/lib/containers/storage/volumes/"+hex+"/_data", ""), "/data/jitaccess.db", nameless},
		"a name that is nearly as long":           {overlayRoot + line("/var/lib/docker/volumes/"+hex[1:]+"/_data", ""), "/data/jitaccess.db", ""},
		"a claim":                                 {overlayRoot + line("/", ""), "/data/jitaccess.db", ""},
		"a claim that is a folder of the node":    {overlayRoot + line("/opt/pods/2f/volumes/kubernetes.io~local-volume/pv", ""), "/data/jitaccess.db", ""},
		"an emptyDir":                             {overlayRoot + line("/var/lib/kubelet/pods/2f/volumes/kubernetes.io~empty-dir/memory", ""), "/data/jitaccess.db", ofPod},
		"what containerd makes of VOLUME":         {overlayRoot + line("/var/lib/containerd/io.containerd.grpc.v1.cri/containers/9a/volumes/7b", ""), "/data/jitaccess.db", ofRuntime},
		"a disk in memory":                        {overlayRoot + "1310 1301 0:60 / /data rw - tmpfs tmpfs rw\n", "/data/jitaccess.db", inMemory},
		"the older one of them":                   {overlayRoot + "1310 1301 0:60 / /data rw - ramfs ramfs rw\n", "/data/jitaccess.db", inMemory},
		"/tmp in memory, of a machine":            {diskRoot + "44 29 0:39 / /tmp rw shared:9 - tmpfs tmpfs rw\n", "/tmp/jitaccess.db", inMemory},
		"a machine whose / is in memory":          {"1 0 0:1 / / rw - tmpfs rootfs rw\n", "/var/jitaccess.db", inMemory},
		"a machine":                               {diskRoot + proc, "/var/lib/jitaccess/jitaccess.db", ""},
		"an overlay that somebody has made":       {diskRoot + "50 29 0:60 / /srv rw - overlay overlay rw\n", "/srv/jitaccess.db", ""},
		"a disk over a disk in memory":            {overlayRoot + "5 1 0:60 / /data rw - tmpfs tmpfs rw\n" + line("/srv/jitaccess", ""), "/data/jitaccess.db", ""},
		"a disk in memory over a disk":            {overlayRoot + line("/srv/jitaccess", "") + "5 1 0:60 / /data rw - tmpfs tmpfs rw\n", "/data/jitaccess.db", inMemory},
		"a disk in memory in a volume":            {overlayRoot + line("/srv/jitaccess", "") + "5 1 0:60 / /data/a rw - tmpfs tmpfs rw\n", "/data/a/jitaccess.db", inMemory},
		"several optional fields":                 {overlayRoot + line("/srv/jitaccess", " shared:7 master:1 propagate_from:2"), "/data/jitaccess.db", ""},
		"blanks in its name":                      {overlayRoot + `9 1 8:1 /srv/my\040data /my\040data rw - ext4 /dev/sda1 rw` + "\n", "/my data/jitaccess.db", ""},
		"blanks, and it is not that":              {overlayRoot + `9 1 8:1 /srv/my\040data /my\040data rw - ext4 /dev/sda1 rw` + "\n", "/my/jitaccess.db", own},
		"a backslash and a line's end":            {overlayRoot + `9 1 8:1 / /a\134040b\012c rw - tmpfs tmpfs rw` + "\n", "/a\\040b\nc/jitaccess.db", inMemory},
		"a field that is a hyphen":                {overlayRoot + "9 1 8:1 /- /- rw - tmpfs tmpfs rw\n", "/-/jitaccess.db", inMemory},
		"a system that says nothing":              {"", "/data/jitaccess.db", ""},
		"a text that is none":                     {"mounts\n\n - \n1 2 3 4 5 6 -\n1 2 0:1 / / rw overlay overlay rw\n", "/data/jitaccess.db", ""},
		"a line that is cut off, and a whole one": {"1301 1127 0:184 / / rw master\n" + diskRoot, "/data/jitaccess.db", ""},
		"a path that leads up":                    {overlayRoot + line("/srv/jitaccess", ""), "/data/../jitaccess.db", own},
		"no end of the last line":                 {overlayRoot[:len(overlayRoot)-1], "/data/jitaccess.db", own},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Fleeting(c.mounts, c.at); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
