// One binary for the tests: `apiserver` runs etcd and kube-apiserver in one process, `controllers` runs kube-controller-manager.
// Further arguments are those programs' own flags.
package main

import (
	"fmt"
	"net/url"
	"os"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func address(name string) url.URL {
	parsed, err := url.Parse(os.Getenv(name))
	must(err)
	return *parsed
}

// startEtcd keeps what it knows in ETCD_DIR, at the addresses ETCD_CLIENT and ETCD_PEER. Tests need no fsync.
func startEtcd() {
	config := embed.NewConfig()
	config.Dir = os.Getenv("ETCD_DIR")
	config.ListenClientUrls = []url.URL{address("ETCD_CLIENT")}
	config.AdvertiseClientUrls = config.ListenClientUrls
	config.ListenPeerUrls = []url.URL{address("ETCD_PEER")}
	config.AdvertisePeerUrls = config.ListenPeerUrls
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.LogLevel = "warn"
	config.UnsafeNoFsync = true
	started, err := embed.StartEtcd(config)
	must(err)
	select {
	case <-started.Server.ReadyNotify():
	case <-time.After(60 * time.Second):
		must(fmt.Errorf("etcd is not ready after a minute"))
	}
}

func main() {
	if len(os.Args) < 2 {
		must(fmt.Errorf("usage: kube apiserver|controllers FLAG..."))
	}
	mode := os.Args[1]
	os.Args = append(os.Args[:1], os.Args[2:]...)
	switch mode {
	case "apiserver":
		startEtcd()
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "controllers":
		os.Exit(cli.Run(controllers.NewControllerManagerCommand()))
	default:
		must(fmt.Errorf("unknown mode %s", mode))
	}
}
