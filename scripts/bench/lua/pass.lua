-- Hooks that do what the threads would do without them.

local function send(sockfd, msg, flags) return sendmsg(sockfd, msg, flags) end
local function receive(sockfd, msg, flags) return recvmsg(sockfd, msg, flags) end

client_sendmsg(send)
server_sendmsg(send)
client_recvmsg(receive)
server_recvmsg(receive)
