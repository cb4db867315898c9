# Of a Nomad client. The Debian package has docker-credential-metahub-nomad; elsewhere it is
# metahub-node under another name:
#   ln -s metahub-node /usr/bin/docker-credential-metahub-nomad
plugin "docker" {
  config {
    auth {
      helper = "metahub-nomad"
    }
  }
}

client {
  # What metahub-node detect says of this node, for constraints of jobs.
  meta {
    metahub_arch = "zen3"
  }
}
