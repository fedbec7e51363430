"""Give a person an account on the team's server, in one of four roles: `python accounts.py NAME ROLE`.

MLFLOW_TRACKING_URI, MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD are the server's and an administrator's;
NEW_PASSWORD is the account's, 12 characters or more, and only needed for a new one. A second call changes the role.
"""

import os
import sys

from mlflow.exceptions import MlflowException
from mlflow.server import get_app_client

# Each role may do what the one before it may. What is granted on `*` holds for experiments and models to come.
ROLES = {
    "reader": {"experiment": "READ", "registered_model": "READ"},  # compare, evaluate, export, serve
    "trainer": {"experiment": "EDIT", "registered_model": "READ"},  # train, run, confmat, sync; register new names
    "registrar": {"experiment": "EDIT", "registered_model": "EDIT"},  # register versions and move aliases of any name
    "owner": {"experiment": "MANAGE", "registered_model": "MANAGE"},  # delete and restore
}
WORKSPACE = "default"


def main(name: str, role: str) -> None:
    """Make the roles where they are missing, the account where it is, and give it the one role."""
    client = get_app_client("basic-auth", os.environ["MLFLOW_TRACKING_URI"])
    known = {one.name: one.id for one in client.list_roles(WORKSPACE)}
    for title, grants in ROLES.items():
        if title not in known:
            known[title] = client.create_role(WORKSPACE, title).id
            for kind, permission in grants.items():
                client.add_role_permission(known[title], kind, "*", permission)
    try:
        client.get_user(name)
    except MlflowException:
        client.create_user(name, os.environ["NEW_PASSWORD"])
    for held in client.list_user_roles(name):
        if held.name in ROLES:
            client.unassign_role(name, held.id)
    client.assign_role(name, known[role])


if __name__ == "__main__":
    match sys.argv[1:]:
        case [name, role] if role in ROLES:
            main(name, role)
        case _:
            sys.exit(f"usage: python accounts.py NAME {'|'.join(ROLES)}")
