# Runs a test server's programs, and ends and removes them once whoever asked for the server is gone.
#
# Orders come in on stdin, each with the number of its run. The end of stdin means that the starting process
# has let go of the server or has itself ended, however that happened.
parent=$1
programs=$2
last=

# Ctrl-C and the like are for those who use the server; what tidies up after them has to outlive them. And
# nobody may be left to read the folder's name.
trap '' HUP INT TERM PIPE

exec 2>&1
folder=$(mktemp -d "$parent/flightdeck-postgres-XXXXXXXX") || exit
data=$folder/data
echo "$folder"
exec >"$folder/server.log" 2>&1

# A shell of its own waits for the program, so that a killed one is never a zombie: to PostgreSQL's own check
# for a running server a zombie is one. `running` and `ended` are numbered, so neither can be an old run's.
launch() {
    (
        "$@" </dev/null &
        echo $! >"$folder/running.$run"
        wait $!
        echo $? >"$folder/ended.$run"
    ) &
}

while read -r order run port; do
    case $order in
    initdb)
        launch "$programs/initdb" --pgdata="$data" --username=flightdeck --auth=trust --encoding=UTF8 --locale=C \
            --no-sync
        ;;
    start) launch "$programs/postgres" -D "$data" -p "$port" ;;
    esac
    last=$run
done

# First a clean end, which may take the 10 s of authentication_timeout, then one without ceremony, then none
# of its choosing. A signal that comes before the program listens to it is lost, so each is sent repeatedly.
tick=0
while [ "$last" ] && [ ! -s "$folder/ended.$last" ] && [ $tick -lt 220 ]; do
    signal=INT
    [ $tick -ge 120 ] && signal=QUIT
    [ $tick -ge 200 ] && signal=KILL
    read -r pid <"$folder/running.$last" && kill -s $signal "$pid"
    sleep 0.1
    tick=$((tick + 1))
done

tick=0
while [ -e "$folder" ] && [ $tick -lt 50 ]; do
    # The processes of a killed server go on until they notice; all of them, and only they, work in its folder.
    for process in /proc/[0-9]*; do
        [ "$process/cwd" -ef "$data" ] && kill -s KILL "${process#/proc/}"
    done
    # A killed server also leaves its System V segment, of which a machine has only so many.
    [ -e "$data/postmaster.pid" ] && ipcrm -m "$(sed -n '7s/^ *[0-9]* *//p' "$data/postmaster.pid")"
    rm -rf "$folder" || sleep 0.1
    tick=$((tick + 1))
done
