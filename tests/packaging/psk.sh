# A pre-shared key with Debian's Python: who has it, and who has another.
set -eu
umask 077
printf 'alice:%064x\n' 12345 > /keys
printf 'alice:%064x\n' 54321 > /wrong
ip link set lo up
mkfifo /ready
ninep serve mem: --listen tls:127.0.0.1:0,psk=/keys --cert-user psk:alice=1234:77 --ready-fd 3 3> /ready 2> /dev/null &
read -r address < /ready
at=${address%%,*}
ninep mkdir "tls://${at#tls:}/made" --tls-psk /keys
ninep stat "tls://${at#tls:}/made" --tls-psk /keys
ninep ls "tls://${at#tls:}/" --tls-psk /wrong 2>&1 || echo "refused: $?"
kill $!
wait $!
